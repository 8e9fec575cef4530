"""How many messages to ask a log for at once.

The server answers a direct get in the loop that reads our connection: until the page is complete it hears
nothing else from us, neither a publish nor a PING (docs/decisions/reading-a-channel.md). What a message
costs there varies by four orders of magnitude, with how many others it skips. So a page's size follows the
time that the one before it took.

| the page before | the next asks for |
|-----------------|-------------------|
| took less than `QUICK_S` | twice as many, up to `SIZE_MAX` |
| took more than `SLOW_S`  | half as many, down to `SIZE_MIN` |
| took a time between      | as many |
"""

__all__ = ["PageSize"]

QUICK_S, SLOW_S = 0.02, 0.1  # a held-up publish is noticed by its caller above this
SIZE_FIRST, SIZE_MIN, SIZE_MAX = 128, 16, 4096  # each page costs the server about 1 ms of its own


class PageSize:
    """The size of the next page; tell it what each page took."""

    __slots__ = ("size",)

    def __init__(self) -> None:
        self.size = SIZE_FIRST

    def took(self, seconds: float) -> None:
        """The last page was complete after so long."""
        if seconds < QUICK_S:
            self.size = min(self.size * 2, SIZE_MAX)
        elif seconds > SLOW_S:
            self.size = max(self.size // 2, SIZE_MIN)
