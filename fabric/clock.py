"""The two clocks: wall time for what messages say, monotonic time for what deadlines mean. Rules take time
as an argument; only runtimes ask here."""

import time
from datetime import datetime

from fabric_codecs.nats.wire import timestamp

__all__ = ["monotonic", "now_us", "parse_us", "timestamp"]

monotonic = time.monotonic


def now_us() -> int:
    """Microseconds since 1970, UTC."""
    return time.time_ns() // 1000


def parse_us(text: str) -> int:
    """RFC 3339 -> microseconds since 1970. Raises ValueError when it is none, or has no offset."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no UTC offset")
    return round(moment.timestamp() * 1_000_000)
