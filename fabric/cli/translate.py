"""`fabric translate`: messages of one protocol as another's, and what the way costs. Needs no server."""

import re
import secrets
import sys
from typing import Any, BinaryIO

import click
import msgspec

from fabric.cli.output import emit, note
from fabric.clock import now_us
from fabric_codecs.errors import CodecError
from fabric_codecs.losses import Loss
from fabric_codecs.translate.lift import PROTOCOLS, Protocol, lift
from fabric_codecs.translate.lower import name_for
from fabric_codecs.translate.message import LossRefused, Policy, translate
from fabric_codecs.translate.routes import explain
from fabric_codecs.translate.several import split

__all__ = ["command"]

PROTOCOL = click.Choice(PROTOCOLS)
BINARY = ("mqtt5", "mqtt311", "kafka")
ORIGIN = "/nats/translate"
_hex = re.compile(rb"(?:\s*[0-9a-fA-F]{2})+\s*").fullmatch


class _Refused(click.ClickException):
    """A message that cannot be translated: mend it, or the command line."""

    exit_code = 2


@click.command("translate")
@click.argument("file", type=click.File("rb"), default="-")
@click.option("--from", "source", type=PROTOCOL, help="The protocol of FILE.")
@click.option("--to", "target", type=PROTOCOL, help="The protocol wanted.")
@click.option(
    "--explain", "route", nargs=2, type=PROTOCOL, help="What messages on a route can lose; reads none."
)
@click.option(
    "--policy", type=click.Choice(["strict", "report"]), default="report", help="Refuse losses, or tell them."
)
@click.option("--topic", help="The topic that a Kafka batch came from, or a request is for.")
@click.option("--structured", is_flag=True, help="MQTT 3.1.1 payloads are CloudEvents in JSON.")
@click.option("--raw", is_flag=True, help="Write MQTT and Kafka as bytes, not as hexadecimal text.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON value a line.")
def command(
    file: BinaryIO,
    source: Protocol | None,
    target: Protocol | None,
    route: tuple[Protocol, Protocol] | None,
    policy: Policy,
    topic: str | None,
    structured: bool,
    raw: bool,
    as_json: bool,
) -> None:
    """Translate the messages in FILE (or standard input, as `-`).

    MCP and A2A are JSON-RPC messages, one or one a line; MQTT is PUBLISH packets, Kafka record batches,
    both as bytes or as hexadecimal text. Losses are told on stderr.

    \b
    fabric translate --from mcp --to kafka call.json
    fabric translate --explain mcp kafka
    """
    if route is not None:
        _explain(*route, structured=structured, as_json=as_json)
        return
    if source is None or target is None:
        raise click.UsageError("say --from and --to, or --explain FROM TO")
    data = file.read()
    if source in BINARY and _hex(data):
        data = bytes.fromhex(data.decode())
    try:
        for message in split(data, source):
            said = {"topic": topic, "structured": structured, "origin": ORIGIN, "now_us": now_us()}
            _translate(message, source, target, policy, said, raw=raw, as_json=as_json)
    except CodecError as error:
        raise _Refused(str(error)) from error


def _translate(
    message: bytes,
    source: Protocol,
    target: Protocol,
    policy: Policy,
    said: dict[str, Any],
    *,
    raw: bool,
    as_json: bool,
) -> None:
    said["fresh_id"] = secrets.token_hex(8)  # where the message has none: the fabric's edges give one too
    try:
        translation = translate(message, source, target, policy, **said)
    except LossRefused as refused:
        if as_json:
            emit({"refused": refused.codes, "losses": _told(refused.losses)})
        raise
    name = name_for(lift(message, source, **said).message, target)
    if as_json:
        emit({"to": name, **_shown(translation.message, target), "losses": _told(translation.losses)})
        return
    for loss in translation.losses:
        note(f"{loss.code}  {loss.field}: {loss.outcome}")
    if target not in BINARY:
        click.echo(translation.message)
    elif raw:
        sys.stdout.buffer.write(translation.message)
    else:
        click.echo(translation.message.hex())


def _explain(source: Protocol, target: Protocol, *, structured: bool, as_json: bool) -> None:
    losses = explain(source, target, structured=structured)
    if as_json:
        emit({"from": source, "to": target, "losses": _told(losses)})
    elif not losses:
        click.echo(f"from {source} to {target} nothing is lost")
    for loss in () if as_json else losses:
        click.echo(f"{loss.code:<22}{loss.field:<17}{loss.outcome}")


def _shown(message: bytes, protocol: Protocol) -> dict[str, Any]:
    return {"hex": message.hex()} if protocol in BINARY else {"message": msgspec.Raw(message)}


def _told(losses: tuple[Loss, ...]) -> list[dict[str, str]]:
    return [{"code": loss.code, "field": loss.field, "outcome": loss.outcome} for loss in losses]
