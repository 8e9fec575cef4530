"""Builds the Cython codecs; everything else about the distribution is in pyproject.toml.

`python setup.py build_ext --inplace` compiles every .pyx below codecs/ beside its source. Generated C stays
in build/.
"""

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


def extensions() -> list[Extension]:
    sources = sorted(SOURCE_ROOT.rglob("*.pyx"))
    return [
        Extension(
            ".".join(source.relative_to(SOURCE_ROOT).with_suffix("").parts),
            [source.as_posix()],
            extra_compile_args=["-O3", "-Wno-unused-function"],
        )
        for source in sources
    ]


setup(
    ext_modules=cythonize(
        extensions(),
        build_dir="build",
        include_path=[SOURCE_ROOT.as_posix()],
        compiler_directives=DIRECTIVES,
        quiet=True,
    )
)
