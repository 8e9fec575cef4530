# Nothing here is for Python: see fields.pxd.
