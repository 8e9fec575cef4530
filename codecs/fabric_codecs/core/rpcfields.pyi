# Everything here is for other Cython modules; see rpcfields.pxd.
