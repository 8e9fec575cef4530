"""Builds a second copy of the codecs, for coverage guidance and memory checks: build/fuzz/codecs.

Out: the same packages, their Cython compiled by clang with libFuzzer's counters, AddressSanitizer and the
integer checks of UndefinedBehaviorSanitizer. The copy that all others import is left alone. Above: `run`.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

__all__ = ["CODECS", "build", "environment"]

ROOT = Path(__file__).parents[2]
HOME = ROOT / "build" / "fuzz"
CODECS = HOME / "codecs"
SANITIZERS = "fuzzer-no-link,address,signed-integer-overflow,shift,integer-divide-by-zero,bounds"
COMPILERS = ("clang", *(f"clang-{version}" for version in range(21, 13, -1)))


def build() -> None:
    """Bring the copy up to date: new and changed sources are copied, and what changed is compiled."""
    if importlib.util.find_spec("atheris") is None:
        sys.exit("fuzz: coverage guidance needs atheris: .venv/bin/pip install atheris")
    clang = next(filter(None, map(shutil.which, COMPILERS)), None)
    if clang is None:
        sys.exit("fuzz: coverage guidance needs clang (Debian: apt install clang libclang-rt-14-dev)")
    for source in (ROOT / "codecs").rglob("*.p*"):
        copy = CODECS / source.relative_to(ROOT / "codecs")
        if source.suffix in (".py", ".pyx", ".pxd") and not _is_current(copy, source):
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, copy)
    shutil.copy2(ROOT / "setup.py", HOME)
    flags = f"-O1 -g -fno-omit-frame-pointer -fsanitize={SANITIZERS} -fno-sanitize-recover=all"
    compilers = {"CC": clang, "LDSHARED": f"{clang} -shared", "CFLAGS": flags}
    command = [sys.executable, "setup.py", "--quiet", "build_ext", "--build-lib", CODECS.name]
    made = subprocess.run(command, cwd=HOME, env=os.environ | compilers, capture_output=True, text=True)
    if made.returncode:
        sys.exit(f"fuzz: the instrumented build failed\n{made.stdout}{made.stderr}")


def environment() -> dict[str, str]:
    """The variables under which a child process imports the copy, with the sanitizers' runtime in front."""
    import atheris

    runtime = Path(atheris.path()) / "asan_with_fuzzer.so"
    return os.environ | {
        "LD_PRELOAD": str(runtime),
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",
        "PYTHONMALLOC": "malloc",  # every bytes object its own allocation: a read past one is seen
        "PYTHONPATH": os.pathsep.join([str(CODECS), str(ROOT / "tests"), str(ROOT)]),
    }


def _is_current(copy: Path, source: Path) -> bool:
    return copy.exists() and copy.stat().st_mtime_ns == source.stat().st_mtime_ns
