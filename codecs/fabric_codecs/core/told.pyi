# Everything here is for other Cython modules; see told.pxd.
