"""Settings: which layer wins, and that what cannot be used is named with its place and what is allowed."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from fabric.config import (
    Config,
    EdgeSettings,
    KafkaSettings,
    NatsSettings,
    NodeSettings,
    data_dir,
    load_config,
)
from fabric.errors import ConfigInvalid

EDGES = ("mcp", "mqtt")


def load(tmp_path: Path, toml: str = "", flags: dict[str, Any] | None = None, **environ: str) -> Config:
    file = tmp_path / "fabric.toml"
    file.write_text(toml)
    environ.setdefault("FABRIC_HOME", str(tmp_path))
    return load_config(file, flags=flags, environ=environ, edge_names=EDGES)


def test_defaults_are_loopback_with_the_documented_ports(tmp_path: Path) -> None:
    config = load(tmp_path)
    assert (config.nats.host, config.nats.port) == ("127.0.0.1", 4222)
    assert (config.node.host, config.node.port) == ("127.0.0.1", 8180)
    assert config.kafka.topics == {"story": "journal"}
    assert config.edge("mcp") == EdgeSettings()
    assert config.home == tmp_path


def test_each_layer_wins_over_the_one_before(tmp_path: Path) -> None:
    toml = "[nats]\nport = 1001\ngogc = 200\nmax_pending_bytes = 1024\n"
    flags = {"nats": {"port": 1003}}
    config = load(tmp_path, toml, flags, FABRIC_NATS_PORT="1002", FABRIC_NATS_GOGC="300")
    assert (config.nats.port, config.nats.gogc, config.nats.max_pending_bytes) == (1003, 300, 1024)


def test_an_edges_own_options_are_passed_on_as_they_are(tmp_path: Path) -> None:
    toml = '[edges.mqtt]\nenabled = false\ntoken = "t"\nport = 0\nflavour = ["a"]\n'
    edge = load(tmp_path, toml).edge("mqtt")
    assert edge == EdgeSettings(enabled=False, token="t", options={"port": 0, "flavour": ["a"]})


def test_variables_reach_the_edges(tmp_path: Path) -> None:
    edge = load(tmp_path, FABRIC_MCP_TOKEN="007", FABRIC_MCP_PORT="0", FABRIC_MCP_ENABLED="false").edge("mcp")
    assert edge == EdgeSettings(enabled=False, token="007", options={"port": 0})


def test_variables_of_others_are_let_be(tmp_path: Path) -> None:
    assert load(tmp_path, FABRIC_PORT="tcp://10.0.0.1:80", FABRIC_="x", FABRIC_NATS_SERVER="/bin/x") == load(
        tmp_path
    )


def test_topics_of_layers_are_laid_together(tmp_path: Path) -> None:
    config = load(
        tmp_path, '[kafka.topics]\nstory = "journal"\n', {"kafka": {"topics": {"north": "greenhouse.>"}}}
    )
    assert config.kafka.topics == {"story": "journal", "north": "greenhouse.>"}


@pytest.mark.parametrize(
    ("toml", "named", "problem"),
    [
        ("[nat]\n", r"fabric\.toml: nat:", r"unknown section; known are \[nats\], \[node\]"),
        ("nats = 3\n", r"fabric\.toml: nats:", r"must be a section: \[nats\]"),
        ("[nats]\nprot = 1\n", r"fabric\.toml: \[nats\] prot:", "unknown key; known are .*port"),
        (
            "[nats]\nport = 70000\n",
            r"fabric\.toml: \[nats\] port:",
            "70000 cannot be used: expected `int` <= 65535",
        ),
        ('[nats]\nport = "many"\n', r"fabric\.toml: \[nats\] port:", "'many' cannot be used: expected `int`"),
        ("[nats]\nport = true\n", r"fabric\.toml: \[nats\] port:", "expected `int`, got `bool`"),
        ("[nats]\nsync_interval_s = -1\n", r"\[nats\] sync_interval_s:", "expected `float` >= 0"),
        ("[node]\ngrace_s = 0\n", r"\[node\] grace_s:", "expected `float` > 0"),
        ("[kafka.topics]\nstory = 1\n", r"\[kafka\] topics:", "expected `str`, got `int`"),
        ("[edges]\nmcp = 1\n", r"edges\.mcp:", r"must be a section: \[edges\.mcp\]"),
        ("[edges.mcp]\nenabled = 7\n", r"\[edges\.mcp\] enabled:", "expected `bool`"),
        ("[edges.mcp]\ntokens = 7\n", r"\[edges\.mcp\] tokens:", "expected `object`"),
        ("[nats\n", r"fabric\.toml:", "cannot be read"),
        ("\0", r"fabric\.toml:", "cannot be read"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, toml: str, named: str, problem: str) -> None:
    with pytest.raises(ConfigInvalid, match=f"{named}.*{problem}"):
        load(tmp_path, toml)


def test_bad_variable_names_the_environment(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match=r"the environment: \[nats\] port: 'tcp' cannot be used"):
        load(tmp_path, FABRIC_NATS_PORT="tcp")


def test_bad_flag_names_the_command_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match=r"the command line: \[node\] color: unknown key"):
        load(tmp_path, flags={"node": {"color": "red"}})


def test_bad_value_is_reported_even_where_a_later_layer_wins(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match=r"fabric\.toml"):
        load(tmp_path, "[nats]\nport = -1\n", {"nats": {"port": 1}})


def test_no_file_in_the_current_folder_is_fine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_config(environ={"FABRIC_HOME": "/h"}) == Config(home=Path("/h"))


@pytest.mark.parametrize("environ", [{"FABRIC_CONFIG": "absent.toml"}, {}])
def test_named_file_that_is_missing_is_an_error(environ: dict[str, str]) -> None:
    with pytest.raises(ConfigInvalid, match=r"absent\.toml: no such file"):
        load_config(None if environ else Path("absent.toml"), environ=environ)


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"FABRIC_HOME": "/data", "XDG_STATE_HOME": "/state"}, "/data"),
        ({"FABRIC_HOME": "data"}, str(Path("data").absolute())),
        ({"XDG_STATE_HOME": "/state"}, "/state/agent-message-fabric"),
        ({}, str(Path("~/.local/state/agent-message-fabric").expanduser())),
    ],
)
def test_data_directory(environ: dict[str, str], folder: str) -> None:
    assert data_dir(environ) == Path(folder)


DOCUMENT = Path(__file__).parents[2] / "docs" / "configuration.md"


@pytest.mark.parametrize("kind", [NatsSettings, NodeSettings, KafkaSettings, EdgeSettings])
def test_every_setting_is_documented_with_its_default(kind: type[msgspec.Struct]) -> None:
    defaults = msgspec.to_builtins(kind())
    rows = [f"| `{key}` | `{msgspec.json.encode(value).decode()}` |" for key, value in defaults.items()]
    document = DOCUMENT.read_text()
    assert [row for row in rows if row not in document and "`options`" not in row] == []


def test_documented_example_can_be_used(tmp_path: Path) -> None:
    example = DOCUMENT.read_text().partition("```toml\n")[2].partition("```")[0]
    config = load(tmp_path, example)
    assert config.nats.sync_interval_s == 0
    assert config.kafka.topics == {"story": "journal", "climate": "greenhouse.>"}
    assert config.edge("kafka").enabled is False
    assert config.edge("mqtt").tokens.keys() == {"vent-1", "valve-1"}
