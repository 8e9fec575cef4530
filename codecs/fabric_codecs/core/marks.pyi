# Everything here is for other Cython modules; see marks.pxd.
