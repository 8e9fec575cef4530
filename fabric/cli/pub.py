"""`fabric pub`: one message to a channel."""

import sys

import click

from fabric.cli.client import Target, client_options, connected, run
from fabric.cli.output import emit
from fabric.client import Receipt
from fabric_codecs.translate.media import guess

__all__ = ["command"]


@click.command("pub")
@click.argument("channel")
@click.argument("data", default="-")
@click.option("--live", is_flag=True, help="Deliver to whoever listens now; store nothing.")
@click.option(
    "--type", "media_type", metavar="TYPE", help="Media type; else JSON or plain text, as the data is."
)
@client_options
def command(
    channel: str, data: str, live: bool, media_type: str | None, target: Target, as_json: bool
) -> None:
    """Publish DATA (or standard input, as `-`) to CHANNEL and print the receipt.

    \b fabric pub greenhouse.north '{"celsius": 21.5}'
    """
    payload = sys.stdin.buffer.read() if data == "-" else data.encode()
    receipt = run(_publish(target, channel, payload, live=live, media_type=media_type or guess(payload)))
    if as_json:
        emit(receipt)
    elif receipt.stream:
        again = ", which was there already" if receipt.duplicate else ""
        click.echo(f"stored as {receipt.stream}:{receipt.sequence}{again} (id {receipt.id})")
    else:
        click.echo(f"handed to whoever listens (id {receipt.id})")


async def _publish(target: Target, channel: str, payload: bytes, *, live: bool, media_type: str) -> Receipt:
    async with connected(target) as fabric:
        return await fabric.channel(channel).publish(
            payload, delivery="live" if live else "durable", datacontenttype=media_type
        )
