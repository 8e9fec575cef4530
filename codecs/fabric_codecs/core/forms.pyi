# Everything here is for other Cython modules; see forms.pxd.
