"""Tokens at the door of an edge: given, read from a file, or made."""

import logging
import stat
from pathlib import Path

import pytest

from fabric.config import Config, EdgeSettings
from fabric.errors import ConfigInvalid, Unauthenticated
from fabric.node.authenticator import TokenAuthenticator


def door(home: Path, **settings: object) -> TokenAuthenticator:
    return TokenAuthenticator(Config(home=home, edges={"mcp": EdgeSettings(**settings)}), ["mcp"])  # type: ignore[arg-type]


def test_the_token_of_an_edge_opens_it(tmp_path: Path) -> None:
    assert door(tmp_path, token="right").authenticate("mcp", "right") == "mcp"


def test_several_tokens_tell_clients_apart(tmp_path: Path) -> None:
    guard = door(tmp_path, tokens={"ann": "a", "bob": "b"})
    assert [guard.authenticate("mcp", token) for token in ("a", "b")] == ["ann", "bob"]


def test_token_file_is_read_without_its_line_end(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("right\n")
    assert door(tmp_path, token_file=str(tmp_path / "token")).authenticate("mcp", "right") == "mcp"


def test_made_token_is_kept_for_its_owner_alone_and_for_the_next_run(tmp_path: Path) -> None:
    file = door(tmp_path).files["mcp"]
    token = file.read_text().strip()
    assert len(token) == 32
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert door(tmp_path).authenticate("mcp", token) == "mcp"


def test_each_edge_has_its_own_token(tmp_path: Path) -> None:
    guard = TokenAuthenticator(Config(home=tmp_path), ["mcp", "mqtt"])
    with pytest.raises(Unauthenticated):
        guard.authenticate("mqtt", guard.files["mcp"].read_text().strip())


@pytest.mark.parametrize("token", ["", "wrong", "Right", "right ", "right\0", "\ud800", "r" * 100_000])
def test_wrong_token_is_refused_without_being_shown(
    tmp_path: Path, token: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(Unauthenticated) as refused:
        door(tmp_path, token="right").authenticate("mcp", token)
    assert "right" not in str(refused.value)
    assert not caplog.records


def test_unknown_edge_lets_nobody_in(tmp_path: Path) -> None:
    with pytest.raises(Unauthenticated):
        door(tmp_path, token="right").authenticate("kafka", "right")


def test_stranger_is_not_told_where_the_token_is(tmp_path: Path) -> None:
    with pytest.raises(Unauthenticated) as refused:
        door(tmp_path).authenticate("mcp", "wrong")
    assert str(tmp_path) not in str(refused.value)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"token_file": "/absent/token"}, r"edges\.mcp\.token_file.*cannot be read"),
        ({"tokens": {"ann": ""}}, r"edges\.mcp\.tokens\.ann: is empty"),
    ],
)
def test_unusable_token_is_named(tmp_path: Path, settings: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigInvalid, match=named):
        door(tmp_path, **settings)


def test_empty_token_file_is_named_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("\n")
    with pytest.raises(ConfigInvalid, match="is empty; put a token there"):
        door(tmp_path, token_file=str(tmp_path / "token"))
