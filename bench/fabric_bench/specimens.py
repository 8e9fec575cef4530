"""The same bytes for everybody: a message of ours is caught on the wire (`Server.catch`), all send its like.

In: that specimen. Out, for any number: the same header block with an id of the same form and length, as bytes
or as lines. Above: floors, peers.
"""

import re

from fabric_bench.plans import Specimen

__all__ = ["block_of", "lines_of"]

_PROCESS = b"0123456789"  # as long as the name of a process of ours, and nobody's
_ID = re.compile(rb"(?<=\r\nce-id: )[^\r]*-\d+(?=\r\n)")
_LIVE = re.compile(rb"(?<=\r\nce-fablive: )[^\r]*:\d+(?=\r\n)")


def block_of(specimen: Specimen, number: int) -> bytes:
    """The header block of message `number`: the specimen's but for the id, and the running number of a live
    message."""
    block = _ID.sub(b"%s-%d" % (_PROCESS, number), specimen.header, count=1)
    return _LIVE.sub(b"%s:%d" % (_PROCESS, number), block, count=1)


def lines_of(specimen: Specimen, number: int) -> dict[str, str]:
    """The same as name and value, in the same order, for who writes header blocks himself."""
    lines = block_of(specimen, number).decode().split("\r\n")[1:-2]
    return dict(line.split(": ", 1) for line in lines)
