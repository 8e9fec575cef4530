# Everything here is for other Cython modules; see lifted.pxd.
