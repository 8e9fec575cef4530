# Everything here is for other Cython modules; see canonical.pxd.
