# Everything here is for other Cython modules; see jsonvalues.pxd.
