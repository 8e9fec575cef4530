"""Who may do what on the embedded server: the keys that sign, and the credentials made with them.

In: a folder for the keys, and the table of rights in `fabric.subjects`. Out: the trust for the server's
configuration, and credentials files as text. A tenant is one account, whose signing key makes the users.
"""

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import nkeys

from fabric.errors import ConfigInvalid, InvalidName
from fabric.node.files import write_private
from fabric.subjects import grants_for
from fabric_codecs.errors import CodecError
from fabric_codecs.names import encode_level, pattern_name

__all__ = ["EVERY_NAME", "Keyring"]

EVERY_NAME = "*"  # in place of names: nodes, the unrestricted local default, benchmarks

# How long an agent may answer a call, and with any number of replies: the longest deadline.
_REPLY_TTL_NS = 3600 * 1_000_000_000
_TRAFFIC = ("subs", "data", "payload", "imports", "exports", "conn", "leaf")
_STORAGE = ("mem_storage", "disk_storage", "streams", "consumer")  # the server wants none for its own account
_KEYS = {
    "operator": nkeys.PREFIX_BYTE_OPERATOR,  # trusted by the server; signs the accounts
    "system": nkeys.PREFIX_BYTE_ACCOUNT,  # the server's own account, kept apart from the tenant
    "account": nkeys.PREFIX_BYTE_ACCOUNT,  # the tenant
    "signing": nkeys.PREFIX_BYTE_ACCOUNT,  # signs the tenant's users; can be replaced without a new tenant
}


class Keyring:
    """The signing keys of one deployment, made by the first `Keyring.open(folder)` and read by later ones."""

    def __init__(self, seeds: Mapping[str, str]) -> None:
        self._keys = {role: nkeys.from_seed(str(seeds[role]).encode()) for role in _KEYS}

    @classmethod
    def open(cls, folder: Path) -> "Keyring":
        """The keys in `folder/keys.json`, its owner's alone. Raises ConfigInvalid when it is damaged."""
        file = folder / "keys.json"
        if not file.exists():
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            seeds = {
                role: nkeys.encode_seed(secrets.token_bytes(32), prefix).decode()
                for role, prefix in _KEYS.items()
            }
            write_private(file, json.dumps(seeds, indent=1))
        try:
            return cls(json.loads(file.read_text()))
        except (ValueError, LookupError, TypeError, nkeys.NkeysError) as error:
            raise ConfigInvalid(
                str(file),
                "holds no signing keys; delete it to make new ones, which ends all credentials made so far",
            ) from error

    def public_keys(self) -> dict[str, str]:
        """What each key is known by; nothing secret."""
        return {role: self._public(role) for role in _KEYS}

    def server_trust(self) -> str:
        """The configuration that makes a server trust these keys: operator mode, a resolver in memory."""
        operator, system, account = (self._public(role) for role in ("operator", "system", "account"))
        operator_jwt = self._sign(
            "operator", operator, "fabric", {"type": "operator", "system_account": system}
        )
        system_jwt = self._sign(
            "operator", system, "system", {"type": "account", "limits": _unlimited(*_TRAFFIC)}
        )
        tenant = {
            "type": "account",
            "limits": _unlimited(*_TRAFFIC, *_STORAGE),
            "signing_keys": [self._public("signing")],
        }
        account_jwt = self._sign("operator", account, "default", tenant)
        return (
            f"operator: {operator_jwt}\nsystem_account: {system}\nresolver: MEMORY\n"
            f"resolver_preload: {{\n  {account}: {account_jwt}\n  {system}: {system_jwt}\n}}"
        )

    def mint(
        self,
        names: str | Iterable[str],
        *,
        channels: Iterable[str] = (),
        queues: Iterable[str] = (),
        history: bool = True,
        expires_s: float | None = None,
    ) -> str:
        """A credentials file for one name, several, or EVERY_NAME; the server's logs show the first one.

        `channels` restricts it to channels or patterns: it then has no right to read history, as with
        `history=False`. `queues` are those that it may work, none if not named (EVERY_NAME works all);
        anybody may put jobs. `expires_s` None means never. Raises InvalidName.
        """
        listed = (names,) if isinstance(names, str) else tuple(names)
        if not listed or not all(listed):
            raise InvalidName("name", "", "it is empty")
        every = EVERY_NAME in listed
        tokens = (EVERY_NAME,) if every else tuple(_checked("name", encode_level, name) for name in listed)
        reach = tuple(_checked("channel", pattern_name, channel) for channel in channels)
        works = (EVERY_NAME,) if every else tuple(_checked("queue", encode_level, name) for name in queues)

        def allowed(right: str) -> dict[str, list[str]]:
            return {"allow": grants_for(right, tokens, reach, queues=works, history=history)}

        rights = {
            "pub": allowed("publish"),
            "sub": allowed("subscribe"),
            "resp": {"max": -1, "ttl": _REPLY_TTL_NS},  # nobody may publish to an inbox by its name
        }
        return self._user(listed[0], rights, expires_s)

    def mint_node(self) -> str:
        """A credentials file with every right in the tenant: a node makes streams, and speaks for peers."""
        return self._user("node", {"pub": {}, "sub": {}}, None)

    def _user(self, name: str, rights: Mapping[str, Any], expires_s: float | None) -> str:
        seed = nkeys.encode_seed(secrets.token_bytes(32), nkeys.PREFIX_BYTE_USER)
        public = nkeys.from_seed(seed).public_key.decode()
        claims = {
            "type": "user",
            "issuer_account": self._public("account"),
            "subs": -1,
            "data": -1,
            "payload": -1,
        }
        token = self._sign("signing", public, name, {**claims, **rights}, expires_s)
        return (
            f"-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{seed.decode()}\n------END USER NKEY SEED------\n"
        )

    def _public(self, role: str) -> str:
        return str(self._keys[role].public_key.decode())

    def _sign(
        self, issuer: str, subject: str, name: str, nats: Mapping[str, Any], expires_s: float | None = None
    ) -> str:
        """A NATS JWT (version 2): the claims, their hash as id, and the issuer's Ed25519 signature."""
        now = int(time.time())
        claims: dict[str, Any] = {"iat": now, "iss": self._public(issuer), "sub": subject, "name": name}
        if expires_s is not None:
            claims["exp"] = now + round(expires_s)
        claims["nats"] = {**nats, "version": 2}
        digest = hashlib.sha512(json.dumps(claims).encode()).digest()[:32]
        claims["jti"] = base64.b32encode(digest).decode().rstrip("=")
        signed = f"{_segment({'typ': 'JWT', 'alg': 'ed25519-nkey'})}.{_segment(claims)}"
        return f"{signed}.{_base64url(self._keys[issuer].sign(signed.encode()))}"


def _checked(what: str, encode: Callable[[str], str], text: str) -> str:
    try:
        return encode(text)
    except CodecError as error:
        raise InvalidName(what, text, error.what) from None


def _unlimited(*limits: str) -> dict[str, Any]:
    return {"wildcards": True, **dict.fromkeys(limits, -1)}


def _segment(value: Mapping[str, Any]) -> str:
    return _base64url(json.dumps(value, separators=(",", ":")).encode())


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
