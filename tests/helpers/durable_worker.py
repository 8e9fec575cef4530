"""A process with a durable member, for tests that kill it: prints what it handled, a line each.

    python -m helpers.durable_worker URL CREDENTIALS NAME CHANNEL [--answer CHANNEL]

The payload `die` ends the process as a crash would. `--answer` publishes a result of each message, `once`.
"""

import asyncio
import os
import sys

from fabric.client import Channel
from fabric.connect import connect

__all__ = ["main"]


async def main(url: str, credentials: str, name: str, channel: str, answers: str = "") -> None:
    """Until it is killed."""
    async with connect(name, url=url, credentials=credentials) as fabric:
        out = fabric.channel(answers) if answers else None
        member = fabric.channel(channel).join(durable="auditor", since="beginning", take_over=True)
        async with member:
            async for envelope in member:
                await handle(envelope.data, out)


async def handle(data: bytes, out: Channel | None) -> None:
    if data == b"die":
        os._exit(9)
    if out is not None:
        await out.publish(b"of " + data, delivery="once")
    sys.stdout.buffer.write(data + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    asyncio.run(main(*(argument for argument in sys.argv[1:] if argument != "--answer")))
