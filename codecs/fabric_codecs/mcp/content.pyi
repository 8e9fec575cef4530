# Everything here is for other Cython modules; see content.pxd.
