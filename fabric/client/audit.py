"""The audit: every holder's account beside what the log says, and whether the sum holds.

In: the records of holders (`rules/accounts`), wherever they are; the logs that they name. Out: one `Finding`
for each. A holder's record is as old as its last commit (100 ms on a busy member); in between, more may have
been settled, never less, so what it calls in flight is still in the log or has ended since: a finding that
does not hold is looked at once more. Above: `fabric audit`, `durable`. Below: `jetstream.read`.
"""

import asyncio
from collections.abc import Iterable

import msgspec

from fabric import subjects
from fabric.client.agents.lease import lease_held
from fabric.client.identity import Identity
from fabric.errors import Refused
from fabric.jetstream.layout import STATE_STREAM
from fabric.jetstream.read import LogReader, Stored
from fabric.rules.accounts import KINDS, Account, Extent, Holder
from fabric_codecs.errors import CodecError
from fabric_codecs.names import decode_level

__all__ = ["Finding", "audit", "unsettled"]

SUBJECTS_COUNTED_MAX = (
    256  # beyond, what is settled above a position is not counted: the log seems to hold more
)
AT_ONCE = 16


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One holder. `kind` is "cursor", "inbox" or "queue", `owner` the name whose credential writes the
    record, `in_log` how many unsettled messages the log holds for it (None: it could not be asked, `problem`
    says why), `waiting` those of them that it has not taken up, `state` "live", "closed" or "crashed"."""

    kind: str
    owner: str
    name: str
    key: str
    state: str
    process: str
    epoch: int
    account: Account
    in_flight: int
    in_log: int | None
    waiting: int | None
    balanced: bool | None
    problem: str = ""


async def unsettled(reader: LogReader, extents: Iterable[Extent]) -> int:
    """How many messages the logs hold beyond these positions. Raises PermissionDenied without the right to
    history, Refused, Unreachable."""
    total = 0
    for extent in extents:
        total += await reader.count(extent.stream, extent.filter, extent.after) - extent.settled
        if len(extent.above) > SUBJECTS_COUNTED_MAX:
            continue
        for subject, last in extent.above.items():
            beyond = await reader.count(extent.stream, subject, last)
            total += beyond - await reader.count(extent.stream, subject, extent.after)
    return max(total, 0)


async def audit(identity: Identity, owner: str | None = None) -> list[Finding]:
    """Every holder whose record this credential may read, or those of one owner, sorted. Raises
    PermissionDenied without the right to history, Refused, Unreachable."""
    reader = identity.link.reader
    turns = asyncio.Semaphore(AT_ONCE)

    async def look(stored: Stored) -> Finding | None:
        async with turns:
            return await _finding(identity, stored)

    findings: list[Finding] = []
    for kind in KINDS:
        pattern = f"{subjects.state(owner or '*', kind, '>')}"
        async for page in reader.pages(STATE_STREAM, pattern, 1):
            found = await asyncio.gather(*(look(stored) for stored in page if stored.data))
            findings.extend(one for one in found if one is not None)
    return sorted(findings, key=lambda one: (one.kind, one.owner, one.name, one.key))


async def _finding(identity: Identity, stored: Stored) -> Finding | None:
    finding = await _looked_at(identity, stored)
    if finding is None or finding.balanced is not False:
        return finding
    # Between its record and our count the holder went on: the record of now decides.
    page = await identity.link.reader.page(STATE_STREAM, stored.subject.decode(), 1, batch=1)
    return await _looked_at(identity, page.messages[0]) if page.messages else None


async def _looked_at(identity: Identity, stored: Stored) -> Finding | None:
    _, _, owner, kind, key = stored.subject.decode().split(".", 4)
    try:
        holder = msgspec.json.decode(stored.data, type=Holder)
    except msgspec.MsgspecError:
        return None  # a record of this kind that is no holder's: an ownership, a result
    link, account = identity.link, holder.account
    in_log, problem = None, ""
    try:
        in_log = await unsettled(link.reader, holder.extents)
    except Refused as error:
        problem = str(error)
    return Finding(
        kind=kind,
        owner=_name(owner),
        name=holder.name,
        key=key,
        state=await _state(identity, holder),
        process=holder.process,
        epoch=holder.epoch,
        account=account,
        in_flight=account.in_flight,
        in_log=in_log,
        waiting=None if in_log is None else max(in_log - account.in_flight, 0),
        balanced=None if in_log is None else account.balanced(in_log),
        problem=problem,
    )


async def _state(identity: Identity, holder: Holder) -> str:
    if not holder.open:
        return "closed"
    held = await lease_held(identity.link, f"{holder.connection}.{holder.process}")
    return "live" if held else "crashed"


def _name(token: str) -> str:
    try:
        return decode_level(token)
    except CodecError:
        return token
