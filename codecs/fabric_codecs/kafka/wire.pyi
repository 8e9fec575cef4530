from typing import Final

class FrameReader:
    """Cuts a byte stream into frames: `feed` what came, then `take` frames until there is None.

    `max_bytes` may be changed between two frames, also of one `feed`: a listener trusts a peer more once it
    knows who that is. A longer frame is refused when its turn comes, whatever of it has come; the frames
    before it have been handed out by then.
    """

    max_bytes: int
    held_bytes: Final[int]
    """Bytes that were fed and not taken."""

    def __init__(self, max_bytes: int = ...) -> None: ...
    def feed(self, data: bytes) -> None: ...
    def take(self) -> bytes | None:
        """The next whole frame without its length, or None when more must be fed first. Raises CodecError,
        with its offset in the stream, for a length that cannot be, and again each time it is asked."""
