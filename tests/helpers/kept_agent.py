"""An agent in a process of its own, to be killed: `python kept_agent.py URL CREDS NAME FILE`.

Its tools write a line to FILE when they begin; `hang` then waits for ever in the first life of the file, and
returns at once in a later one. Prints `ready` when it is live.
"""

import asyncio
import sys
from pathlib import Path

from fabric.client import Fabric, Session

__all__ = ["main"]


async def main(url: str, credentials: str, name: str, effects: Path) -> None:
    """Live until killed."""
    lives = begun(effects)
    session = Session([url], name=name, credentials=credentials, lease_ttl_s=1, lease_refresh_s=0.25)
    await session.open()
    async with Fabric(session, name).agent(name, take_over=True) as me:

        async def hang() -> str:
            note(effects, "effect")
            if not lives:
                await asyncio.Event().wait()
            return f"life {lives + 1}"

        me.tool(name="writes")(hang)
        me.tool(name="again", idempotent=True)(hang)
        print("ready", flush=True)
        await asyncio.Event().wait()


def begun(effects: Path) -> int:
    """How many lives there were before this one."""
    note(effects, "life")
    return effects.read_text().count("life\n") - 1


def note(effects: Path, line: str) -> None:
    """One line more."""
    with effects.open("a") as file:
        file.write(f"{line}\n")


if __name__ == "__main__":
    url, credentials, name, effects = sys.argv[1:]
    asyncio.run(main(url, credentials, name, Path(effects)))
