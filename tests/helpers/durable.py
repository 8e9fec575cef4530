"""What tests of durable members share: publish, take, and look at the record."""

import asyncio

import msgspec

from fabric.client import Channel, DurableMember, Fabric
from fabric.client.channels.durable import cursor_subject
from fabric.rules.channels.cursor import CursorRecord
from helpers.waiting import BOUND_S

__all__ = ["numbers", "publish", "record_of", "take"]


def numbers(*values: int) -> list[bytes]:
    """Payloads."""
    return [b"%d" % value for value in values]


async def publish(channel: Channel, *data: bytes) -> None:
    """All of them, and their Receipts."""
    async with channel.publisher() as out:
        for one in data:
            await out.send(one)


async def take(member: DurableMember, count: int) -> list[bytes]:
    """As many messages as that; the last one stays in hand."""
    async with asyncio.timeout(BOUND_S):
        return [(await anext(member)).data for _ in range(count)]


async def record_of(fabric: Fabric, durable: str, pattern: str) -> CursorRecord:
    """What is committed."""
    stored = await fabric.session.state.get(cursor_subject(fabric.token, durable, pattern))
    return msgspec.json.decode(stored.value, type=CursorRecord)
