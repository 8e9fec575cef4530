"""Who is at the door of an edge: tokens from the configuration, or one made for an edge that has none.

In: the settings of the edges. Out: a principal's name, or Unauthenticated (`fabric.ports.Authenticator`).
Tokens are compared by their digests, in constant time, all of them whichever fits, and are never logged.
"""

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from pathlib import Path

from fabric.config import Config, EdgeSettings
from fabric.errors import ConfigInvalid, Unauthenticated
from fabric.node.files import write_private

__all__ = ["TokenAuthenticator"]

_TOKEN_BYTES = 24  # of randomness, 32 characters


class TokenAuthenticator:
    """`files` names the edges whose token the node made, and where it is kept."""

    def __init__(self, config: Config, edges: Iterable[str]) -> None:
        self.files: dict[str, Path] = {}
        self._principals: dict[str, dict[bytes, str]] = {}
        for edge in edges:
            tokens = self._tokens(config.home, edge, config.edge(edge))
            self._principals[edge] = {_digest(token): principal for principal, token in tokens.items()}

    def authenticate(self, edge: str, token: str) -> str:
        """The principal behind `token`; with a single token per edge it bears the edge's name."""
        presented = _digest(token)
        found = ""
        for digest, principal in self._principals.get(edge, {}).items():
            if hmac.compare_digest(digest, presented):
                found = principal
        if not found:
            # Strangers read this too: it may not say where the token is kept.
            raise Unauthenticated(
                f"the {edge} edge", "a token; whoever runs `fabric up` sees where it is kept"
            )
        return found

    def _tokens(self, home: Path, edge: str, settings: EdgeSettings) -> dict[str, str]:
        tokens = dict(settings.tokens)
        if settings.token:
            tokens[edge] = settings.token
        elif settings.token_file:
            tokens[edge] = _read_token(Path(settings.token_file).expanduser(), f"edges.{edge}.token_file")
        elif not tokens:
            self.files[edge] = home / "tokens" / edge
            tokens[edge] = _made_token(self.files[edge])
        if empty := [principal for principal, token in tokens.items() if not token]:
            raise ConfigInvalid(f"edges.{edge}.tokens.{empty[0]}", "is empty")
        return tokens


def _made_token(file: Path) -> str:
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(file, secrets.token_urlsafe(_TOKEN_BYTES) + "\n")
    return _read_token(file, str(file))


def _read_token(file: Path, where: str) -> str:
    try:
        token = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigInvalid(where, f"the token in {file} cannot be read: {error}") from error
    if not token:
        raise ConfigInvalid(where, f"{file} is empty; put a token there, or delete it to have one made")
    return token


def _digest(token: str) -> bytes:
    # Digests have one length: compare_digest is in constant time only for equal lengths.
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
