"""The server under test: embedded as a node runs it, with the streams that channels really use, or `--url`.

In: a URL and credentials, or nothing. Out: a `Server` that can be purged and looked into between runs.
Above: runner, scenarios. Below: `fabric.node.server`, `fabric.jetstream`.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from fabric.config import NatsSettings
from fabric.jetstream.connection import Connection, Subscription
from fabric.jetstream.layout import apply_layout, channel_stream
from fabric.jetstream.server import api, requester
from fabric.node.credentials import EVERY_NAME, Keyring
from fabric.node.server import EmbeddedServer
from fabric.subjects import shard
from fabric_bench.plans import Place, Specimen

__all__ = ["Server", "serve", "stream_of"]

ADMIN_TIMEOUT_S = 30.0  # purging millions of messages takes the server seconds


def stream_of(channel: str) -> str:
    """The stream that keeps this channel."""
    return channel_stream(shard(channel))


class Server:
    """`user` is what an ordinary agent connects with; `admin` may do everything, as a node may."""

    def __init__(self, connection: Connection, user: Place, admin: Place, what: dict[str, str]) -> None:
        self.user = user
        self.admin = admin
        self.what = what
        self._connection = connection

    async def purge(self, *streams: str) -> None:
        """Empty the streams."""
        for stream in streams:
            await api(self._connection, f"STREAM.PURGE.{stream}", {}, timeout_s=ADMIN_TIMEOUT_S)

    async def last_sequence(self, stream: str) -> int:
        """The sequence of the newest message the stream ever took; a purge does not set it back."""
        info = await api(self._connection, f"STREAM.INFO.{stream}", timeout_s=ADMIN_TIMEOUT_S)
        return int(info["state"]["last_seq"])

    async def catch(self, wanted: Mapping[str, str], send: Callable[[], Awaitable[object]]) -> list[Specimen]:
        """What ours writes when it does `send`: on each subject the first message of a kind (`fabkind`)."""
        catches: list[asyncio.Future[Specimen]] = []
        subscriptions: list[Subscription] = []
        for subject, kind in wanted.items():
            catches.append(asyncio.get_running_loop().create_future())
            subscriptions.append(self._connection.subscribe(subject, _keep_first(kind, catches[-1])))
        try:
            await api(self._connection, "INFO")  # its answer says that the subscriptions are in force
            await send()
            async with asyncio.timeout(ADMIN_TIMEOUT_S):
                return list(await asyncio.gather(*catches))
        finally:
            for subscription in subscriptions:
                self._connection.unsubscribe(subscription)


def _keep_first(kind: str, catch: "asyncio.Future[Specimen]") -> Callable[[bytes, bytes, bytes, bytes], None]:
    line = f"\r\nce-fabkind: {kind}\r\n".encode()

    def arrived(subject: bytes, reply: bytes, header: bytes, payload: bytes) -> None:
        if line in header and not catch.done():
            catch.set_result(
                Specimen(subject=subject.decode(), reply=reply.decode(), header=header, payload=payload)
            )

    return arrived


@asynccontextmanager
async def serve(url: str = "", creds: str = "") -> AsyncIterator[Server]:
    """A server with the fabric's streams, for as long as the block lasts; its files go with it."""
    with tempfile.TemporaryDirectory(prefix="fabric-bench-") as folder:
        if url:
            place = Place(url=url, creds=creds)
            async with _laid_out(place, place, {"server": url}) as server:
                yield server
            return
        keys = Keyring.open(Path(folder))
        settings = NatsSettings(port=0)
        async with EmbeddedServer(settings, Path(folder) / "nats", trust=keys.server_trust()) as embedded:
            user, admin = Path(folder) / "user.creds", Path(folder) / "admin.creds"
            user.write_text(keys.mint(EVERY_NAME))
            admin.write_text(keys.mint_node())
            what = {"server": "embedded", "sync_interval_s": f"{settings.sync_interval_s:g}"}
            url = embedded.url
            places = Place(url=url, creds=str(user)), Place(url=url, creds=str(admin))
            async with _laid_out(*places, what) as server:
                yield server


@asynccontextmanager
async def _laid_out(user: Place, admin: Place, what: dict[str, str]) -> AsyncIterator[Server]:
    connection = Connection([admin.url], name="bench", inbox="_INBOX.bench", credentials=admin.creds or None)
    await connection.open()
    try:
        await apply_layout(requester(connection))
        yield Server(connection, user, admin, what)
    finally:
        await connection.close()
