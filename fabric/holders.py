"""Who holds a port, for errors that name the culprit.

In: a port. Out: words such as `nats-server (pid 4711)`. Reads /proc (Linux), which needs no privilege for
one's own processes; elsewhere, and for other users' processes, the answer is `another process`.
"""

import contextlib
import socket
from pathlib import Path

from fabric.errors import PortInUse

__all__ = ["check_free", "holder_of"]

_LISTEN = "0A"  # the state column of /proc/net/tcp, in hexadecimal


def holder_of(port: int) -> str:
    """The process listening on a local TCP port, as a person would name it."""
    inodes = _listening_inodes(port)
    for fd_folder in Path("/proc").glob("[0-9]*/fd") if inodes else ():
        with contextlib.suppress(OSError):  # gone meanwhile, or somebody else's
            for descriptor in fd_folder.iterdir():
                if _socket_inode(descriptor) in inodes:
                    process = fd_folder.parent
                    return f"{_program(process)} (pid {process.name})"
    return "another process"


def check_free(what: str, host: str, port: int) -> None:
    """Raise PortInUse, naming the holder, when `host:port` cannot be listened on. Port 0 is always free."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections in TIME_WAIT do not hold it
        try:
            probe.bind((host, port))
        except OSError as error:
            raise PortInUse(what, host, port, holder_of(port)) from error


def _listening_inodes(port: int) -> set[str]:
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                columns = line.split()
                if columns[3] == _LISTEN and int(columns[1].rpartition(":")[2], 16) == port:
                    inodes.add(columns[9])
    return inodes


def _socket_inode(descriptor: Path) -> str:
    with contextlib.suppress(OSError):
        return str(descriptor.readlink()).removeprefix("socket:[").removesuffix("]")
    return ""


def _program(process: Path) -> str:
    words = (process / "cmdline").read_bytes().split(b"\0")
    program = Path(words[0].decode(errors="replace")).name
    # An interpreter's name says little: name what it runs.
    scripts = [
        Path(word.decode(errors="replace")).name for word in words[1:] if word and not word.startswith(b"-")
    ]
    return f"{program} {scripts[0]}" if program.startswith("python") and scripts else program
