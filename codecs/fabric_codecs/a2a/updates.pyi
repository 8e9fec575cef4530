# Everything here is for other Cython modules; see updates.pxd.
