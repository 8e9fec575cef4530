"""Builds the Cython codecs; everything else about the distribution is in pyproject.toml.

`python setup.py build_ext --build-lib codecs` compiles every .pyx below codecs/ beside its source, as many at
a time as there are processors. Generated C stays in build/. CODECS_CFLAGS takes the place of -O3: tests/fuzz.
"""

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

SOURCE_ROOT = Path("codecs")
DIRECTIVES = {
    "language_level": 3,
    "boundscheck": False,  # every decoder reads through core/reader.pxd, which checks
    "wraparound": False,
    "cdivision": True,
    "initializedcheck": False,
    "binding": False,
    "embedsignature": False,
}
CFLAGS = os.environ.get("CODECS_CFLAGS", "-O3").split()
JOBS = os.cpu_count() or 1


def extensions() -> list[Extension]:
    sources = sorted(SOURCE_ROOT.rglob("*.pyx"))
    return [
        Extension(
            ".".join(source.relative_to(SOURCE_ROOT).with_suffix("").parts),
            [source.as_posix()],
            extra_compile_args=[*CFLAGS, "-Wno-unused-function"],
        )
        for source in sources
    ]


if __name__ == "__main__":  # cythonize's workers may import this file again
    setup(
        options={"build_ext": {"parallel": JOBS}},
        ext_modules=cythonize(
            extensions(),
            build_dir="build",
            include_path=[SOURCE_ROOT.as_posix()],
            compiler_directives=DIRECTIVES,
            nthreads=JOBS,
            quiet=True,
        ),
    )
