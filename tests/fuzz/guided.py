"""The child process of `run --guided`: one decoder under libFuzzer, its Python instrumented at import.

Started by `run` alone, in the environment of `instrument`: there the Cython has its counters already.
"""

import sys

import atheris

with atheris.instrument_imports(include=["fabric_codecs"], enable_loader_override=False):
    from fuzz.targets import TARGETS


def main() -> None:
    name, *options = sys.argv[1:]
    atheris.Setup([sys.argv[0], *options], TARGETS[name])
    atheris.Fuzz()


main()
