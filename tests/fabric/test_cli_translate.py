"""`fabric translate`, as a user types it: no server, one file or standard input."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fabric.cli.translate import command
from fabric_codecs.translate.lift import PROTOCOLS
from helpers.specimens import ARGUMENTS, SPECIMENS


def typed(*arguments: str, given: bytes = b"") -> Result:
    return CliRunner().invoke(command, list(arguments), input=given)


def test_a_file_is_translated_and_its_losses_are_told_on_stderr(tmp_path: Path) -> None:
    file = tmp_path / "publish.bin"
    file.write_bytes(SPECIMENS["mqtt311"])
    result = typed("--from", "mqtt311", "--to", "mcp", str(file))
    assert result.exit_code == 0
    assert json.loads(result.stdout)["method"] == "notifications/resources/updated"
    assert result.stderr.startswith("CONTENT_TYPE_GUESSED  datacontenttype: ")


@pytest.mark.parametrize("middle", ["mqtt5", "kafka"])
def test_bytes_travel_as_hexadecimal_text_through_a_pipe(middle: str) -> None:
    there = typed("--from", "mcp", "--to", middle, "-", given=SPECIMENS["mcp"])
    assert bytes.fromhex(there.stdout)
    back = typed("--from", middle, "--to", "mcp", "--topic", "greenhouse.heat", given=there.stdout_bytes)
    params = json.loads(back.stdout)["params"]
    assert params["name"] == "greenhouse.heat"
    assert params["arguments"] == json.loads(ARGUMENTS)


def test_raw_bytes_are_the_message_itself() -> None:
    result = typed("--from", "mqtt5", "--to", "mqtt5", "--raw", given=SPECIMENS["mqtt5"])
    assert result.stdout_bytes == SPECIMENS["mqtt5"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_several_messages_in_one_file_are_translated_one_by_one(protocol: str) -> None:
    given = (SPECIMENS[protocol] + (b"\n" if protocol in ("mcp", "a2a") else b"")) * 3  # type: ignore[index]
    result = typed("--from", protocol, "--to", "a2a", "--topic", "a.b", "--json", given=given)
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.exit_code == 0
    assert len(lines) == 3
    assert all("message" in line and "losses" in line for line in lines)


def test_strict_refuses_and_lists_the_codes() -> None:
    result = typed("--from", "mcp", "--to", "mqtt311", "--policy", "strict", given=SPECIMENS["mcp"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "NO_METADATA" in result.stderr
    kept = typed(
        "--from", "mcp", "--to", "mqtt311", "--policy", "strict", "--structured", given=SPECIMENS["mcp"]
    )
    assert kept.exit_code == 0


def test_a_route_is_explained_before_any_traffic() -> None:
    result = typed("--explain", "mcp", "mqtt311")
    assert result.exit_code == 0
    assert result.stdout.split()[:2] == ["NO_METADATA", "attributes"]
    told = json.loads(typed("--explain", "mqtt5", "kafka", "--json").stdout)
    assert [loss["code"] for loss in told["losses"]] == ["EXPIRY_UNENFORCED"]
    assert typed("--explain", "mqtt311", "mqtt5").stdout == "from mqtt311 to mqtt5 nothing is lost\n"


@pytest.mark.parametrize(
    ("arguments", "given", "words"),
    [
        (("--from", "mcp"), b"", "--explain"),
        (("--from", "mcp", "--to", "a2a"), b"{", "mcp"),
        (("--from", "kafka", "--to", "a2a"), SPECIMENS["kafka"], "topic"),
        (("--from", "mqtt5", "--to", "a2a"), SPECIMENS["mqtt5"][:-1], "cut short"),
        (("--from", "mqtt5", "--to", "a2a"), b"\x00\x00", "reserved"),
    ],
)
def test_what_cannot_be_translated_says_what_to_mend(
    arguments: tuple[str, ...], given: bytes, words: str
) -> None:
    result = typed(*arguments, given=given)
    assert result.exit_code == 2
    assert words in result.stderr
