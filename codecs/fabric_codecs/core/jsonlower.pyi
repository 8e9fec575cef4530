# Everything here is for other Cython modules; see jsonlower.pxd.
