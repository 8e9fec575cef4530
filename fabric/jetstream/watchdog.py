"""When is a connection of no use any more? nats-py says it is connected long after its read loop died, and
waits for a stalled flush without an end. Above: `connection`. Below: nats-py.
"""

import asyncio

from nats.aio.client import Client

from fabric.jetstream import private

__all__ = ["until_useless"]

PROBE_EVERY_S = 2.0  # a silent server is noticed within PROBE_EVERY_S + PROBE_TIMEOUT_S
PROBE_TIMEOUT_S = 5


async def until_useless(client: Client, lost: asyncio.Event) -> str:
    """Returns, with the reason, when the client closed (`lost`; the reason is then known to its callbacks:
    ""), its read loop ended, or the server left a PING without an answer."""
    while True:
        try:
            async with asyncio.timeout(PROBE_EVERY_S):
                await lost.wait()
            return ""
        except TimeoutError:
            pass
        if private.reading_task(client).done():
            return "the read loop ended"
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                await client.flush(timeout=PROBE_TIMEOUT_S)
        except Exception as error:  # whatever nats-py's state machine met: each means that it is of no use
            return f"the server did not answer a PING: {type(error).__name__}"
