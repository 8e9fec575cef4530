# Everything here is for other Cython modules; see outcome.pxd.
