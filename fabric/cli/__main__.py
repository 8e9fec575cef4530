"""`python -m fabric.cli`, where the `fabric` script is not on PATH."""

from fabric.cli import main

main()
