"""`fabric`: the command line. One module a command, loaded when it is asked for.

Output is for people; `--json` prints one JSON value a line. Results go to stdout, everything else to stderr.

| exit code | meaning |
|---|---|
| 0 | done; for `up` and `tail` also: stopped when asked to |
| 1 | it failed, here or at the agent; for `doctor`: something needs mending |
| 2 | mend the command line, the configuration or the message |
| 3 | nobody is there: no server, agent, tool, topic or dead letter |
| 4 | not now: refused or too late; the same again may succeed |
| 130 | interrupted before it was done |
"""

import logging
import os
import sys
from importlib import import_module
from importlib.util import find_spec

import click

from fabric.cli.output import exit_code, report
from fabric.errors import FabricError

__all__ = ["main"]

# name -> (module with a click command called `command`, what it does); not shown where the module is absent
COMMANDS = {
    "up": ("fabric.cli.up", "Start a fabric here: NATS, the edges, health and metrics."),
    "demo": ("fabric.cli.demo", "One story through MCP, A2A, MQTT and Kafka, and its causal tree."),
    "doctor": ("fabric.cli.doctor", "What is here, what it guarantees, and what is wrong."),
    "ls": ("fabric.cli.ls", "The live agents and their tools."),
    "pub": ("fabric.cli.pub", "Publish a message to a channel."),
    "tail": ("fabric.cli.tail", "Print the messages of a channel or pattern as they come."),
    "call": ("fabric.cli.call", "Call an agent's tool."),
    "dead": ("fabric.cli.dead", "Dead letters: list, show, put back."),
    "audit": ("fabric.cli.audit", "The accounts of all who hold messages, checked against the logs."),
    "creds": ("fabric.cli.creds", "Make a credential for an agent, for its own names only."),
    "translate": ("fabric.cli.translate", "Messages of one protocol as another's, and what that costs."),
    "bench": ("fabric_bench.runner", "Measure this fabric beside nats-py and a raw socket."),
    "version": ("fabric.cli.version", "Versions of the fabric and of what it runs on."),
}
INTERRUPTED = 130  # what shells report for SIGINT


class LazyGroup(click.Group):
    """Commands by name, each imported when it is run; help needs none of them."""

    def list_commands(self, context: click.Context) -> list[str]:
        return [name for name, (module, _) in COMMANDS.items() if _is_there(module)]

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS or not _is_there(COMMANDS[name][0]):
            return None
        command: click.Command = import_module(COMMANDS[name][0]).command
        return command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in self.list_commands(context)])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-v", "--verbose", count=True, help="Log to stderr what happens; -vv logs everything.")
def fabric(verbose: int) -> None:
    """A message fabric for AI agents: MCP, A2A, MQTT and Kafka meet on channels kept by NATS JetStream."""
    level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)]
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")


def main() -> None:
    """The entry point: runs a command and ends the process with its exit code."""
    sys.exit(_run(sys.argv[1:]))


def _run(arguments: list[str]) -> int:
    as_json = "--json" in arguments
    try:
        return fabric.main(arguments, prog_name="fabric", standalone_mode=False) or 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except FabricError as error:
        report(error, as_json=as_json)
        return exit_code(error)
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:
        # `fabric tail | head`: the reader has what it wanted. Python would complain once more when it
        # flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False
