# Everything here is for other Cython modules; see jsonlift.pxd.
