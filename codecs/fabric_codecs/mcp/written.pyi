# Everything here is for other Cython modules; see written.pxd.
