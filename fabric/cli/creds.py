"""`fabric creds`: a credentials file for an agent that may speak and listen only under its own names."""

from pathlib import Path

import click

from fabric.cli.output import emit, json_option, note
from fabric.config import data_dir
from fabric.errors import ConfigInvalid
from fabric.node.credentials import Keyring
from fabric.node.files import write_private

__all__ = ["command"]


@click.command("creds")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option(
    "--channel",
    "channels",
    multiple=True,
    metavar="PATTERN",
    help="Only this channel or pattern; no history.",
)
@click.option("--works", "queues", multiple=True, metavar="QUEUE", help="It may take jobs from this queue.")
@click.option("--no-history", is_flag=True, help="No right to read what was stored before it came.")
@click.option(
    "--expires", "expires_s", type=click.FloatRange(min=1), metavar="SECONDS", help="Else it never does."
)
@click.option("--out", type=click.Path(path_type=Path), help="Write it there, readable by you alone.")
@json_option
def command(
    names: tuple[str, ...],
    channels: tuple[str, ...],
    queues: tuple[str, ...],
    no_history: bool,
    expires_s: float | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Make a credential for NAME, signed with the keys of the fabric of this data directory (FABRIC_HOME).

    \b fabric creds thermostat --channel 'greenhouse.>' --out thermostat.creds FABRIC_CREDS=thermostat.creds
    python thermostat.py
    """
    home = data_dir()
    if not (home / "keys.json").exists():
        raise ConfigInvalid(
            str(home), "no fabric has run here yet, so there are no keys: `fabric up` makes them"
        )
    text = Keyring.open(home).mint(
        names, channels=channels, queues=queues, history=not no_history, expires_s=expires_s
    )
    if out:
        try:
            write_private(out, text)
        except OSError as error:
            raise ConfigInvalid(str(out), f"cannot be written: {error.strerror}") from error
        note(f"written to {out}; use it with FABRIC_CREDS={out}")
    elif not as_json:
        click.echo(text, nl=False)
    if as_json:
        emit({"names": names, "creds": str(out) if out else text})
