# Everything here is for other Cython modules; see message.pxd.
