"""The node's service `dead`: a dead letter's message goes back to where it came from, then the letter goes.

In: `{"redrive": number}`. Out: the Receipt of its next life. In that order, so that a node that dies in
between leaves a letter too many, never one too few; the second redrive is then known by its Nats-Msg-Id. A
letter is what its holder wrote, so it is believed only as far as the holder may go: a queue's goes into
that queue, an inbox's into that inbox. A member's is said again by the client itself (`{"remove": number}`
afterwards). Above: `node`. Below: `rules/letters`, the publish window.
"""

import msgspec

from fabric import subjects
from fabric.client.link import Link
from fabric.client.receipt import Receipt
from fabric.errors import InvalidName, NoSuchLetter
from fabric.jetstream.layout import DEAD_STREAM
from fabric.jetstream.read import Stored
from fabric.jetstream.server import delete_message
from fabric.rules.letters import Origin, origin_of, revived_block

__all__ = ["LetterService"]


class Request(msgspec.Struct):
    """What a client asks; a letter's number, from 1."""

    redrive: int = 0
    remove: int = 0


class LetterService:
    """One per node; any number of nodes."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def __call__(self, _source: str, body: bytes) -> Receipt:
        """Redrive one letter. Raises NoSuchLetter, Refused (the letter stays), InvalidName for a letter whose
        place its holder may not write to."""
        request = msgspec.json.decode(body, type=Request)
        number = request.redrive or request.remove
        letter = await self._letter(number)
        if request.remove:
            return await self._removed(letter)
        target = place_of(letter.subject.decode(), origin_of(letter.header))
        block = revived_block(letter.header, number)
        sequence = await self._link.publisher.publish(target.subject, block, letter.data)
        await delete_message(self._link.connection, DEAD_STREAM, number)
        return Receipt(f"dead-{number}", target.stream, abs(sequence), sequence < 0)

    async def _letter(self, number: int) -> Stored:
        everywhere = subjects.dead("*", "*", "*")
        page = await self._link.reader.page(DEAD_STREAM, everywhere, number, batch=1)
        if not page.messages or page.messages[0].sequence != number:
            raise NoSuchLetter(number)
        return page.messages[0]

    async def _removed(self, letter: Stored) -> Receipt:
        if letter.subject.split(b".")[2] != b"member":
            raise InvalidName("request", "remove", "only a member's letter is put back by its client")
        await delete_message(self._link.connection, DEAD_STREAM, letter.sequence)
        return Receipt(f"dead-{letter.sequence}")


def place_of(letter: str, origin: Origin) -> Origin:
    """Where the message of the letter on this subject goes. Raises InvalidName where its holder could not
    have had it from."""
    _, _, kind, holder, _ = letter.split(".")
    tokens = origin.subject.split(".")
    if kind == "queue" and len(tokens) == 5 and tokens[:3] == ["fab", "q", holder]:
        return origin
    if kind == "inbox" and len(tokens) == 5 and tokens[:2] == ["fab", "ib"] and tokens[3] == holder:
        return origin
    raise InvalidName(
        "place of a dead letter", origin.subject, f"a {kind} letter of {holder} cannot be from there"
    )
