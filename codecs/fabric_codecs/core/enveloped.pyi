# Everything here is for other Cython modules; see enveloped.pxd.
