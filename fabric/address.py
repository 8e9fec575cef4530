"""Where the fabric of this machine is: a lock held by its node, and a file that tells the way.

In: a data directory. Out: the `Address` of the node that runs there, or None. A node that was killed leaves
the file behind but not the lock, so nobody is sent to a fabric that is gone. Above: whoever connects.
"""

import fcntl
import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import msgspec

from fabric.config import data_dir
from fabric.errors import ConfigInvalid

__all__ = ["Address", "HomeLock", "locate", "running_fabric"]

_LOCK, _ADDRESS = "fabric.lock", "address.json"
_LOOKERS_S = 0.5  # `running_fabric` holds the lock for microseconds; a node that starts then tries again


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach a running fabric. `creds` is empty where the server asks for none."""

    pid: int
    nats_url: str
    creds: str = ""
    health_url: str = ""
    edges: dict[str, str] = {}  # name -> where its clients connect
    tokens: dict[str, str] = {}  # name -> the file with the token that the node made for it
    enforced: bool = False  # whether the server holds each credential to its names
    sync_interval_s: float | None = None  # None: the server is somebody else's and does not say


def running_fabric(home: Path | None = None) -> Address | None:
    """The fabric that runs with this data directory (`config.data_dir` when None), or None."""
    folder = home or data_dir()
    try:
        descriptor = os.open(folder / _LOCK, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(folder)
    finally:
        os.close(descriptor)
    return None


def locate(
    url: str | None = None, creds: str | None = None, environ: Mapping[str, str] = os.environ
) -> Address | None:
    """Which fabric to talk to: the arguments, else FABRIC_URL and FABRIC_CREDS, else the one here, or None.

    The credentials of the one that runs here are used where no others are named.
    """
    named_creds = creds or environ.get("FABRIC_CREDS", "")
    if named_url := url or environ.get("FABRIC_URL"):
        return Address(pid=0, nats_url=named_url, creds=named_creds)
    address = running_fabric(data_dir(environ))
    return msgspec.structs.replace(address, creds=named_creds or address.creds) if address else None


class HomeLock:
    """Held by the one node of a data directory: `with HomeLock(home) as lock: lock.publish(address)`.

    Raises ConfigInvalid, naming the node that holds it, when there is one. The kernel lets go of it however
    we end.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._descriptor = -1

    def publish(self, address: Address) -> None:
        """Tell everybody the way: from now on `running_fabric` finds us."""
        draft = self._home / f".{_ADDRESS}"
        draft.write_bytes(msgspec.json.encode(address))
        draft.chmod(0o600)
        draft.replace(self._home / _ADDRESS)

    def acquire(self) -> None:
        """Take the lock, or raise ConfigInvalid."""
        try:
            self._home.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._descriptor = os.open(self._home / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            problem = f"cannot be the data directory ({error.strerror}); set FABRIC_HOME to another folder"
            raise ConfigInvalid(str(self._home), problem) from error
        deadline = time.monotonic() + _LOOKERS_S
        while True:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > deadline:
                    self.release()
                    raise self._taken() from None
                time.sleep(0.01)

    def release(self) -> None:
        """Let go; safe to call twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _taken(self) -> ConfigInvalid:
        holder = _read(self._home)
        who = (
            f"by the fabric of pid {holder.pid} (NATS at {holder.nats_url})"
            if holder
            else "by a fabric that is starting"
        )
        return ConfigInvalid(
            str(self._home), f"is used {who}; use that one, stop it, or set FABRIC_HOME to another folder"
        )

    def __enter__(self) -> "HomeLock":
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        (self._home / _ADDRESS).unlink(missing_ok=True)
        self.release()


def _read(folder: Path) -> Address | None:
    try:
        return msgspec.json.decode((folder / _ADDRESS).read_bytes(), type=Address)
    except (OSError, msgspec.DecodeError):
        return None  # the node has the lock and has not told the way yet
