# Everything here is for other Cython modules; see results.pxd.
