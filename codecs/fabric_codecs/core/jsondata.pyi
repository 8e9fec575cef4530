# Everything here is for other Cython modules; see jsondata.pxd.
