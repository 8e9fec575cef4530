# Nothing here is for Python: see entries.pxd.
