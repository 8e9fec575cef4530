"""Dead letters: what a queue, an inbox or a durable member gave up, with payload, cause, attempts and
ancestors.

`bury` writes a letter and returns when it is stored; only then may the holder settle the message.
`DeadLetters` (`fab.dead`) lists letters and redrives them. Above: workers, inboxes, members, `fabric dead`.
Below: `rules/letters`, the publish window, the log reader, the node's service `dead` (a redriven message
speaks under its first sender's name, which no client may).

| redrive | outcome |
|---|---|
| the place has room | the message is there again under a new id, the letter is gone |
| the place refuses (full, no server) | Refused as told; the letter stays |
| of a letter that was redriven before | NoSuchLetter; the message lives once |
| the node dies between putting and removing | the letter stays; once more within 2 min puts nothing new |
| the message dies again | another letter, with one ancestor more |
"""

from collections.abc import AsyncIterator
from typing import Literal

import msgspec

from fabric import subjects
from fabric.client.identity import Identity
from fabric.client.receipt import Receipt
from fabric.errors import CallFailed, NoSuchLetter
from fabric.jetstream.layout import DEAD_STREAM
from fabric.jetstream.read import Stored
from fabric.rules.letters import Origin, ancestors_of, letter_block, origin_of, revived_block
from fabric_codecs.envelope import Envelope
from fabric_codecs.names import decode_level, encode_level
from fabric_codecs.nats.headers import number_in, server_value_in, value_in

__all__ = ["DeadLetter", "DeadLetters", "Kind", "bury"]

Kind = Literal["queue", "inbox", "member"]


async def bury(
    identity: Identity,
    kind: Kind,
    holder: str,
    origin: Origin,
    header: bytes,
    data: bytes,
    *,
    cause: str,
    attempts: int,
) -> Receipt:
    """Write a dead letter and return when it is stored; settle the message after that and not before.

    `holder` is the encoded name of the queue, inbox or member; `header` and `data` are the message as it
    was stored. Burying the same message again within 5 min is a Receipt with `duplicate`. Raises Refused,
    LimitExceeded for a message that left no `ADDED_BYTES_MAX` below the server's limit.
    """
    subject = subjects.dead(kind, holder, identity.token)
    block = letter_block(kind, holder, origin, header, cause=cause, attempts=attempts)
    outcome = await identity.link.publisher.publish(subject, block, data)
    return Receipt(value_in(header, b"ce-id").decode("latin-1"), DEAD_STREAM, abs(outcome), outcome < 0)


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """One dead letter. `number` names it in `redrive`; `envelope` is the message as it was,
    `header` the letter's own header block."""

    number: int
    kind: str
    holder: str
    buried_by: str
    buried_at: str
    cause: str
    attempts: int
    ancestors: tuple[str, ...]
    origin: Origin
    header: bytes
    envelope: Envelope


class DeadLetters:
    """The letters of this fabric, as one name sees them: reading needs the right to history, redriving a
    node."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    async def letters(
        self, *, kind: Kind | None = None, holder: str | None = None
    ) -> AsyncIterator[DeadLetter]:
        """Letters, oldest first: all, or those of one kind or holder. Raises PermissionDenied, Refused."""
        pattern = subjects.dead(kind or "*", encode_level(holder) if holder else "*", "*")
        async for page in self._identity.link.reader.pages(DEAD_STREAM, pattern, 1):
            for stored in page:
                yield _letter(stored)

    async def letter(self, number: int) -> DeadLetter:
        """One letter. Raises NoSuchLetter, PermissionDenied, Refused."""
        page = await self._identity.link.reader.page(
            DEAD_STREAM, subjects.dead("*", "*", "*"), number, batch=1
        )
        if not page.messages or page.messages[0].sequence != number:
            raise NoSuchLetter(number)
        return _letter(page.messages[0])

    async def redrive(self, number: int) -> Receipt:
        """Put the message back to where it came from and remove the letter; see the table above. What a
        durable member gave up is said again on its channel, to all, in the name of who redrives.

        Raises NoSuchLetter, Refused (the letter stays), Unreachable when no node runs, CallFailed for a
        letter that cannot be redriven, with the reason.
        """
        letter = await self.letter(number)
        if letter.kind == "member":
            return await self._say_again(letter)
        return await self._ask({"redrive": number})

    async def _say_again(self, letter: DeadLetter) -> Receipt:
        # On a channel nobody may speak for the first sender, a node no more than we: it comes from us.
        identity = self._identity
        subject = subjects.durable(identity.token, subjects.channel_of(letter.origin.subject))
        block = revived_block(letter.header, letter.number, identity.source)
        sequence = await identity.link.publisher.publish(subject, block, letter.envelope.data)
        await self._ask({"remove": letter.number})
        return Receipt(f"dead-{letter.number}", letter.origin.stream, abs(sequence), sequence < 0)

    async def _ask(self, request: dict[str, int]) -> Receipt:
        number = next(iter(request.values()))
        try:
            answer = await self._identity.link.ask("dead", self._identity.token, request)
        except CallFailed as error:
            if error.remote_code == NoSuchLetter.code:
                raise NoSuchLetter(number) from None
            raise
        return msgspec.convert(answer, Receipt)


def _letter(stored: Stored) -> DeadLetter:
    _, _, kind, holder, buried_by = stored.subject.decode().split(".")
    header = stored.header
    return DeadLetter(
        number=stored.sequence,
        kind=kind,
        holder=decode_level(holder),
        buried_by=decode_level(buried_by),
        buried_at=server_value_in(header, b"Nats-Time-Stamp").decode(),
        cause=value_in(header, b"Fab-Dead-Cause").decode("latin-1"),
        attempts=max(number_in(header, b"Fab-Dead-Attempts"), 0),
        ancestors=ancestors_of(header),
        origin=origin_of(header),
        header=header,
        envelope=Envelope.from_nats(stored.subject, header, stored.data),
    )
