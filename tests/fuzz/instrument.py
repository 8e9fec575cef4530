"""Builds a second copy of the codecs, for coverage guidance and memory checks: build/fuzz/codecs.

Out: the same packages, their Cython compiled by the compiler that builds the codecs, with calls from every
basic block and comparison, AddressSanitizer, and the integer checks of UndefinedBehaviorSanitizer. Their
runtime and libFuzzer come with atheris. The copy that all others import is left alone. Above: `run`.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

__all__ = ["CODECS", "build", "environment", "is_possible"]

ROOT = Path(__file__).parents[2]
HOME = ROOT / "build" / "fuzz"
CODECS = HOME / "codecs"
COUNTERS = HOME / "counters.so"
COMPILER = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()
FLAGS = (
    "-O1 -g1 -fno-omit-frame-pointer -fno-wrapv -fsanitize-coverage=trace-pc,trace-cmp "
    "-fsanitize=address,signed-integer-overflow,shift,integer-divide-by-zero,bounds -fno-sanitize-recover=all"
)
COPIED = (".py", ".pyx", ".pxd")


def is_possible() -> bool:
    """Whether atheris is here. Its wheels, and so pyproject.toml, are for CPython on Linux, x86-64."""
    return importlib.util.find_spec("atheris") is not None


def build() -> None:
    """Bring the copy up to date: new and changed sources are copied, and what changed is compiled."""
    _forget_other_flags()
    _copy_sources()
    shutil.copy2(ROOT / "setup.py", HOME)
    counters = Path(__file__).with_name("counters.c")
    _run([*COMPILER, "-O2", "-shared", "-fPIC", "-o", str(COUNTERS), str(counters)])
    _run([sys.executable, "setup.py", "--quiet", "build_ext", "--build-lib", CODECS.name])


def environment() -> dict[str, str]:
    """The variables under which a child process imports the copy, with counters and runtime in front."""
    import atheris

    runtime = Path(atheris.path()) / "asan_with_fuzzer.so"
    return os.environ | {
        "LD_PRELOAD": f"{COUNTERS}:{runtime}",
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1:verify_asan_link_order=0",
        "PYTHONMALLOC": "malloc",  # every bytes object its own allocation: a read past one is seen
        "PYTHONPATH": os.pathsep.join([str(CODECS), str(ROOT / "tests"), str(ROOT)]),
    }


def _forget_other_flags() -> None:
    """What another compiler or other flags made is no part of this copy."""
    stamp, wanted = HOME / "compiled-by", " ".join([*COMPILER, FLAGS])
    if not stamp.exists() or stamp.read_text() != wanted:
        shutil.rmtree(CODECS, ignore_errors=True)
        HOME.mkdir(parents=True, exist_ok=True)
        stamp.write_text(wanted)


def _copy_sources() -> None:
    sources = {
        path.relative_to(ROOT / "codecs") for path in (ROOT / "codecs").rglob("*") if path.suffix in COPIED
    }
    for copy in [path for path in CODECS.rglob("*") if path.suffix in (*COPIED, ".so")]:
        made_of = copy.with_name(f"{copy.name.split('.')[0]}.pyx") if copy.suffix == ".so" else copy
        if made_of.relative_to(CODECS) not in sources:
            copy.unlink()
    for name in sources:
        source, copy = ROOT / "codecs" / name, CODECS / name
        if not copy.exists() or copy.stat().st_mtime_ns != source.stat().st_mtime_ns:
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, copy)


def _run(command: list[str]) -> None:
    made = subprocess.run(
        command, cwd=HOME, env=os.environ | {"CODECS_CFLAGS": FLAGS}, capture_output=True, text=True
    )
    if made.returncode:
        sys.exit(f"fuzz: the instrumented build failed\n{made.stdout}{made.stderr}")
