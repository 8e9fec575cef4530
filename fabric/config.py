"""Every setting of a node, each default with its reason, and how the layers are laid over each other.

In: fabric.toml, FABRIC_* variables, flags; each wins over the one before it. Out: a `Config`, or
ConfigInvalid naming the layer, the key and what is allowed. An edge's own options are checked by that edge.
"""

import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

from fabric.errors import ConfigInvalid
from fabric_codecs.bounds import HEADER_BYTES_MAX, PAYLOAD_BYTES_MAX

__all__ = [
    "Config",
    "EdgeSettings",
    "KafkaSettings",
    "LimitsSettings",
    "NatsSettings",
    "NodeSettings",
    "data_dir",
    "load_config",
    "parse_value",
    "read_settings",
]

Settings = TypeVar("Settings", bound=msgspec.Struct)

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Positive = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]


class NatsSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[nats]`: the server underneath; with `url` an external one, and only `creds` and `replicas` matter."""

    url: str = ""  # several by commas; empty: a nats-server of our own
    creds: str = ""  # path of a credentials file for `url`
    replicas: Annotated[int, msgspec.Meta(ge=1, le=5)] = 1  # of each stream; one server keeps one

    host: str = "127.0.0.1"  # not reachable from outside unless somebody says so
    port: Port = 4222  # NATS's registered port; 0 = any free one
    # nats-server's own HTTP pages: -1 = none, as the node has /healthz and /metrics; 0 = any free port.
    monitor_port: Annotated[int, msgspec.Meta(ge=-1, le=65535)] = -1

    # What a power cut may cost. nats-server's default is 120 s; 0 syncs before each ack, 30 times slower.
    sync_interval_s: Annotated[float, msgspec.Meta(ge=0)] = 2.0
    # 1 MiB of data (nats-server's default for the whole message) and beside it 64 KiB of headers.
    max_payload_bytes: Count = PAYLOAD_BYTES_MAX + HEADER_BYTES_MAX
    max_pending_bytes: Count = 64 << 20  # a reader further behind is cut; nats-server's default
    write_deadline_s: Positive = 5.0  # a stuck reader is noticed in half of nats-server's 10 s
    # The streams reserve 36 GiB, Kafka topics more; the default is what the disk has free, often less.
    max_file_store_bytes: Count = 256 << 30
    # Measured: collecting garbage is most of what many subjects cost. Go's 100 needs a third less memory.
    gogc: Count = 400
    log_bytes_max: Count = 8 << 20  # the log is rotated there, and two old ones are kept
    ready_timeout_s: Positive = 60.0  # measured: 3 s for a million subjects after a crash; 20 times that
    grace_s: Positive = 10.0  # measured: under a second without durable consumers, 11 ms for each


class NodeSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[node]`: the process that hosts the edges."""

    name: str = "node"  # its source name where it speaks for itself
    host: str = "127.0.0.1"  # of /healthz and /metrics: they tell more than strangers should know
    port: Port = 8180  # clear of 8080, which everybody takes; the HTTP edges follow it
    grace_s: Positive = 3.0  # for what is in flight when Ctrl-C comes: a person waits that long


class KafkaSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[kafka]`: what the Kafka edge's topics show. A topic that has a channel's name needs no entry.

    `topics` maps a topic to a channel, a pattern, or `journal`: all that crossed an edge or was called.
    """

    topics: dict[str, str] = msgspec.field(default_factory=lambda: {"story": "journal"})


PerSecond = Annotated[float, msgspec.Meta(ge=0)]
UpTo = Annotated[int, msgspec.Meta(ge=0)]


class LimitsSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[limits]`: what one node lets the clients of its edges do. 0 is no limit; a burst of 0 is what one
    second allows.

    Nothing is limited unless somebody says so: each edge bounds its connections and its calls in flight by
    itself, and what a tenant may do is its owner's to decide. `_per_s` counts messages and calls alike.
    """

    principal_per_s: PerSecond = 0.0  # of one authenticated client name, over all its connections
    principal_burst: UpTo = 0
    channel_per_s: PerSecond = 0.0  # published to one channel, whoever does
    channel_burst: UpTo = 0
    agent_per_s: PerSecond = 0.0  # calls of one agent, whoever calls
    agent_burst: UpTo = 0
    tenant_per_s: PerSecond = 0.0  # everything that enters here
    tenant_burst: UpTo = 0

    principal_calls_max: UpTo = 0  # running at once, of one principal
    agent_calls_max: UpTo = 0  # of one agent; the agent has a ceiling of its own besides
    tenant_calls_max: UpTo = 0  # of all; one principal gets four fifths of it at most


class EdgeSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[edges.NAME]`: what the node decides about an edge; `options` are the other keys, the edge's own.

    With none of `token`, `token_file` and `tokens`, the node makes a token and keeps it in a file of its own.
    """

    enabled: bool = True
    token: str = ""  # what every client presents
    token_file: str = ""  # read at start, so that the token need not stand in fabric.toml
    tokens: dict[str, str] = {}  # principal -> token, where clients are to be told apart
    options: dict[str, Any] = {}


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of it. `home` is where keys, streams, logs and the address of the running fabric are kept."""

    home: Path
    nats: NatsSettings = NatsSettings()
    node: NodeSettings = NodeSettings()
    kafka: KafkaSettings = KafkaSettings()
    limits: LimitsSettings = LimitsSettings()
    edges: dict[str, EdgeSettings] = {}

    def edge(self, name: str) -> EdgeSettings:
        """The settings of an edge, the defaults when it has no section."""
        return self.edges.get(name, EdgeSettings())


_SECTIONS: Mapping[str, type[msgspec.Struct]] = {
    "nats": NatsSettings,
    "node": NodeSettings,
    "kafka": KafkaSettings,
    "limits": LimitsSettings,
}
_EDGE_KEYS = frozenset(EdgeSettings.__struct_fields__) - {"options"}


def data_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """FABRIC_HOME, else `agent-message-fabric` in the user's state folder (XDG)."""
    if home := environ.get("FABRIC_HOME"):
        return Path(home).expanduser().absolute()
    state = environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "agent-message-fabric"


def load_config(
    file: Path | None = None,
    *,
    flags: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] = os.environ,
    edge_names: Iterable[str] = (),
) -> Config:
    """Defaults, then fabric.toml, then FABRIC_<SECTION>_<KEY>, then flags (a mapping shaped as the file).

    `file` None means FABRIC_CONFIG, else `fabric.toml` in the current folder, else none. Edges that
    `edge_names` does not list can be set in the file and by flags, not by variables. Raises ConfigInvalid.
    """
    merged: dict[str, Any] = {}
    for where, layer in (
        _from_file(file, environ),
        _from_environ(environ, tuple(edge_names)),
        ("the command line", dict(flags or {})),
    ):
        _check_layer(where, layer)
        merged = _merge(merged, layer)
    edges = {name: _edge_settings(section) for name, section in merged.get("edges", {}).items()}
    return Config(
        home=data_dir(environ),
        nats=msgspec.convert(merged.get("nats", {}), NatsSettings, strict=False),
        node=msgspec.convert(merged.get("node", {}), NodeSettings, strict=False),
        kafka=msgspec.convert(merged.get("kafka", {}), KafkaSettings, strict=False),
        limits=msgspec.convert(merged.get("limits", {}), LimitsSettings, strict=False),
        edges=edges,
    )


def read_settings(kind: type[Settings], section: Mapping[str, Any], where: str) -> Settings:
    """One section as a typed struct. Raises ConfigInvalid naming `where`, the key and what is allowed there.

    For edges too: `read_settings(McpSettings, settings, "[edges.mcp]")`.
    """
    known = {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
    for key, value in section.items():
        if key not in known:
            raise ConfigInvalid(f"{where} {key}", f"unknown key; known are {', '.join(sorted(known))}")
        try:
            msgspec.convert(value, known[key], strict=not isinstance(value, str))
        except msgspec.ValidationError as error:
            raise ConfigInvalid(f"{where} {key}", f"{value!r} cannot be used: {_allowed(error)}") from error
    return msgspec.convert(dict(section), kind, strict=False)


def _allowed(error: msgspec.ValidationError) -> str:
    # "Expected `int` >= 0 - at `$...key`": the place is said already, and by a name the user knows.
    sentence = str(error).partition(" - at ")[0]
    return sentence[:1].lower() + sentence[1:]


def _from_file(file: Path | None, environ: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    named = file or (Path(environ["FABRIC_CONFIG"]) if environ.get("FABRIC_CONFIG") else None)
    path = named or Path("fabric.toml")
    try:
        return str(path), tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        if named is None:
            return str(path), {}
        raise ConfigInvalid(str(path), "no such file") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigInvalid(str(path), f"cannot be read: {error}") from error


def _from_environ(environ: Mapping[str, str], edge_names: tuple[str, ...]) -> tuple[str, dict[str, Any]]:
    """FABRIC_NATS_PORT -> nats.port, FABRIC_MCP_TOKEN -> edges.mcp.token. Other FABRIC_* variables are let
    be: container platforms make up their own for every service they know."""
    layer: dict[str, Any] = {}
    for variable, text in environ.items():
        prefix, _, rest = variable.partition("_")
        section, _, key = rest.lower().partition("_")
        if prefix != "FABRIC" or not key:
            continue
        if section in edge_names:
            value: Any = text if key in _EDGE_KEYS and key != "enabled" else parse_value(text)
            layer.setdefault("edges", {}).setdefault(section, {})[key] = value
        elif section in _SECTIONS and key in _SECTIONS[section].__struct_fields__:
            layer.setdefault(section, {})[key] = text
    return "the environment", layer


def parse_value(text: str) -> Any:
    """A variable's text as TOML would read it where it is a number or a truth value, else as it is."""
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
    return value if isinstance(value, bool | int | float) else text


def _check_layer(where: str, layer: Mapping[str, Any]) -> None:
    for name, section in layer.items():
        if name not in _SECTIONS and name != "edges":
            allowed = ", ".join(f"[{known}]" for known in (*_SECTIONS, "edges.NAME"))
            raise ConfigInvalid(f"{where}: {name}", f"unknown section; known are {allowed}")
        if not isinstance(section, dict):
            raise ConfigInvalid(f"{where}: {name}", f"must be a section: [{name}]")
        if name == "edges":
            for edge, options in section.items():
                if not isinstance(options, dict):
                    raise ConfigInvalid(f"{where}: edges.{edge}", f"must be a section: [edges.{edge}]")
                own = {key: value for key, value in options.items() if key in _EDGE_KEYS}
                read_settings(EdgeSettings, own, f"{where}: [edges.{edge}]")
        else:
            read_settings(_SECTIONS[name], section, f"{where}: [{name}]")


def _edge_settings(section: Mapping[str, Any]) -> EdgeSettings:
    own = {key: value for key, value in section.items() if key in _EDGE_KEYS}
    options = {key: value for key, value in section.items() if key not in _EDGE_KEYS}
    return msgspec.convert({**own, "options": options}, EdgeSettings, strict=False)


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        held = merged.get(key)
        merged[key] = _merge(held, value) if isinstance(held, dict) and isinstance(value, dict) else value
    return merged
