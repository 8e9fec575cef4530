"""The credentials file, read by us at every connect, so that a renewed one is found. Left to itself nats-py
loops for ever on a file without a JWT, such as one that is being written.

Above: `connection`. Below: the file system.
"""

from pathlib import Path

from nats.aio.client import RawCredentials

from fabric.errors import Unauthenticated

__all__ = ["read_credentials"]

BYTES_MAX = 64 << 10  # a JWT with thousands of subjects has less
BEGIN_JWT, BEGIN_SEED = "-----BEGIN NATS USER JWT-----", "-----BEGIN USER NKEY SEED-----"


def read_credentials(file: Path | str) -> RawCredentials:
    """Its text, as nats-py takes it. Raises Unauthenticated for a file that is missing or not whole."""
    try:
        with Path(file).open("rb") as opened:
            lines = opened.read(BYTES_MAX).decode("utf-8", "replace").splitlines()
    except OSError as error:
        raise Unauthenticated("NATS", f"{file}: {error.strerror}; see FABRIC_CREDS") from None
    lines = [line.strip() for line in lines]
    for begin in (BEGIN_JWT, BEGIN_SEED):
        after = lines.index(begin) + 1 if begin in lines else len(lines)
        if not "".join(lines[after : after + 1]) or lines[after].startswith("-"):
            raise Unauthenticated("NATS", f"{file} is not a whole credentials file; see FABRIC_CREDS")
    return RawCredentials("\n".join(lines) + "\n")
