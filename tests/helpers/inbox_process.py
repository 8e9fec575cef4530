"""An owner of an inbox in a process of its own, to be killed.

`python -m helpers.inbox_process URL CREDS AGENT FILE` writes the id of each letter to FILE, one a line,
before it settles it. Above: tests of faults.
"""

import asyncio
import sys
from pathlib import Path
from typing import TextIO

import fabric


async def main(url: str, creds: str, agent: str, file: TextIO) -> None:
    """Until it is killed."""
    async with (
        fabric.connect(agent, url=url, credentials=creds) as fab,
        fab.agent(agent, take_over=True) as me,
        me.inbox() as inbox,
    ):
        async for letter in inbox:
            print(letter.envelope.id, file=file, flush=True)


if __name__ == "__main__":
    with Path(sys.argv[4]).open("a") as seen:
        asyncio.run(main(*sys.argv[1:4], seen))
