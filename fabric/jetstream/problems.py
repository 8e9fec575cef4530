"""What went wrong, in our words: a failed attempt to connect, a server that is too old, a permission denied.

    -ERR 'Permissions Violation for Publish to "fab.ch.0.x.y"'
    -ERR 'Permissions Violation for Subscription to "fab.cho.>" using queue "q"'

The server quotes a subject as Go does. Above: `connection`. Below: nats-py's errors, the server's texts.
"""

import os
import re
from collections.abc import Sequence

import nats.errors

from fabric.errors import FabricError, ServerTooOld, Unauthenticated, Unreachable

__all__ = ["check_version", "denied_by", "why_not_connected", "words_of"]

SERVER_OLDEST = (2, 12)  # message TTLs and markers (2.11), strict API errors and atomic batches (2.12)

LINE = re.compile(rb"-ERR 'Permissions Violation for (Publish|Subscription) to \"((?:[^\"\\]|\\.)*)\"")
ESCAPE = re.compile(r"\\(.)")
REJECTED = re.compile("authorization|authentication", re.IGNORECASE)


def words_of(error: BaseException) -> str:
    """What an error says, for a person: asyncio's "Connect call failed" is a connection refused."""
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return (str(error) or type(error).__name__).removeprefix("nats: ")


def why_not_connected(error: Exception, servers: Sequence[str], last_problem: str) -> FabricError:
    """Unauthenticated or Unreachable for what nats-py raised; `last_problem` is what it told its callback."""
    where = ", ".join(servers)
    words = words_of(error)
    if isinstance(error, nats.errors.NoServersError):
        words = last_problem  # of the last one tried: "no servers" tells nobody anything
    if REJECTED.search(words):
        return Unauthenticated(f"NATS at {where}", "the credential was refused; see FABRIC_CREDS")
    if isinstance(error, TimeoutError):
        words = "no answer in time"
    return Unreachable(where, words)


def check_version(version: str) -> None:
    """Raises ServerTooOld for a server before 2.12, or one that does not say."""
    found = re.match(r"(\d+)\.(\d+)", version)
    if found is None or (int(found[1]), int(found[2])) < SERVER_OLDEST:
        raise ServerTooOld(version, ".".join(map(str, SERVER_OLDEST)))


def denied_by(line: bytes) -> tuple[str, str] | None:
    """("publish" | "subscribe", subject); None for a line that says something else."""
    found = LINE.match(line)
    if found is None:
        return None
    verb = "publish" if found[1] == b"Publish" else "subscribe"
    return verb, ESCAPE.sub(r"\1", found[2].decode("utf-8", "replace"))
