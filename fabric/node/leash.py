"""Becomes another program that ends when its parent does: `python leash.py PARENT_PID PROGRAM ARGUMENTS...`.

The kernel sends SIGTERM to the program when the parent dies, however it dies (Linux; elsewhere the next
node stops what is left over, by its pid file). A script: a `preexec_fn` is unsafe where there are threads.
"""

import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h; the setting survives the exec


def main() -> None:
    parent_pid, program = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent_pid:  # it died before we asked
            sys.exit(0)
    os.execv(program[0], program)


if __name__ == "__main__":
    main()
