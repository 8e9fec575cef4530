"""A Kafka client that says exactly what a test wants: frames of its own, or kio's requests and responses."""

import asyncio
import io
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from importlib import import_module
from typing import Any

from kio.serial import entity_reader, entity_writer
from kio.static.primitive import i8, i16, i32, i32Timedelta, i64

from fabric_codecs.kafka.records import Record, decode_batch
from helpers.http_door import TOKEN

READ_S = 10.0


def schema(api: str, version: int, part: str = "request") -> Any:
    """kio's module for one message: `schema("fetch", 11)`."""
    return import_module(f"kio.schema.{api}.v{version}.{part}")


def written(entity: Any) -> bytes:
    buffer = io.BytesIO()
    entity_writer(type(entity))(buffer, entity)
    return buffer.getvalue()


def request_frame(body: Any, correlation_id: int = 7, client_id: str | None = "raw") -> bytes:
    """The body with its header, without the length in front."""
    header = body.__header_schema__(
        request_api_key=i16(body.__api_key__),
        request_api_version=i16(body.__version__),
        correlation_id=i32(correlation_id),
        client_id=client_id,
    )
    return written(header) + written(body)


class RawClient:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    def send(self, frame: bytes) -> None:
        self._writer.write(len(frame).to_bytes(4) + frame)

    def send_bytes(self, data: bytes) -> None:
        self._writer.write(data)

    async def receive(self) -> bytes:
        """The next frame, without its length."""
        async with asyncio.timeout(READ_S):
            size = int.from_bytes(await self._reader.readexactly(4))
            return await self._reader.readexactly(size)

    async def closed(self) -> bool:
        """Whether the other side closes now, without another word."""
        async with asyncio.timeout(READ_S):
            with suppress(ConnectionError):
                return await self._reader.read(1) == b""
        return True

    async def ask(self, body: Any, answer_version: int | None = None) -> Any:
        """kio's reading of the answer to kio's request."""
        self.send(request_frame(body))
        return self.read_answer(await self.receive(), body, answer_version)

    def read_answer(self, frame: bytes, body: Any, answer_version: int | None = None) -> Any:
        version = body.__version__ if answer_version is None else answer_version
        api = type(body).__module__.split(".")[2]
        entity = getattr(schema(api, version, "response"), type(body).__name__.replace("Request", "Response"))
        assert frame[:4] == (7).to_bytes(4)
        answer, size = entity_reader(entity)(frame, 4)
        assert size == len(frame) - 4
        return answer

    async def log_in(self, token: str = TOKEN, *, version: int = 1) -> Any:
        """SASL PLAIN as stock clients do it; returns the answer to the token."""
        handshake = schema("sasl_handshake", version).SaslHandshakeRequest(mechanism="PLAIN")
        assert (await self.ask(handshake)).error_code == 0
        plain = b"\0anybody\0" + token.encode()
        return await self.ask(schema("sasl_authenticate", version).SaslAuthenticateRequest(auth_bytes=plain))


API_VERSIONS = schema("api_versions", 3).ApiVersionsRequest(
    client_software_name="n", client_software_version="1"
)
EVERYTHING = schema("metadata", 5).MetadataRequest(topics=None, allow_auto_topic_creation=False)


def metadata(*topics: str) -> Any:
    module = schema("metadata", 5)
    named = tuple(module.MetadataRequestTopic(name=topic) for topic in topics)
    return module.MetadataRequest(topics=named, allow_auto_topic_creation=False)


def offsets(topic: str, timestamp: int, partition: int = 0) -> Any:
    module = schema("list_offsets", 3)
    asked = module.ListOffsetsPartition(partition_index=i32(partition), timestamp=i64(timestamp))
    return module.ListOffsetsRequest(
        replica_id=i32(-1),
        isolation_level=i8(0),
        topics=(module.ListOffsetsTopic(name=topic, partitions=(asked,)),),
    )


def fetch(*asked: tuple[str, int, int], version: int = 11, wait_s: float = 0.0, **settings: Any) -> Any:
    """(topic, partition, offset) each."""
    module = schema("fetch", version)
    partition_max = settings.pop("partition_max_bytes", 1 << 20)
    topics = tuple(
        module.FetchTopic(
            topic=topic,
            partitions=(
                module.FetchPartition(
                    partition=i32(partition), fetch_offset=i64(offset), partition_max_bytes=i32(partition_max)
                ),
            ),
        )
        for topic, partition, offset in asked
    )
    values = {"min_bytes": i32(1), "max_bytes": i32(1 << 20), "forgotten_topics_data": (), **settings}
    if version < 7:
        values.pop("forgotten_topics_data")
        values.update(replica_id=i32(-1), isolation_level=i8(1))
    return module.FetchRequest(max_wait=i32Timedelta(timedelta(seconds=wait_s)), topics=topics, **values)


def partition_of(answer: Any) -> Any:
    ((partition,),) = [topic.partitions for topic in answer.responses]
    return partition


def records_of(partition: Any) -> list[Record]:
    return decode_batch(partition.records).records if partition.records else []


@asynccontextmanager
async def raw_client(
    address: str, *, logged_in: bool = True, receive_buffer_bytes: int = 0
) -> AsyncIterator[RawClient]:
    """A connection to `host:port`, closed at the end."""
    host, _, port = address.rpartition(":")
    ours = socket.socket()
    ours.setblocking(False)
    if receive_buffer_bytes:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
    await asyncio.get_running_loop().sock_connect(ours, (host, int(port)))
    reader, writer = await asyncio.open_connection(sock=ours, limit=1024)
    client = RawClient(reader, writer)
    try:
        if logged_in:
            assert (await client.log_in()).error_code == 0
        yield client
    finally:
        writer.close()
        with suppress(ConnectionError):
            await asyncio.wait_for(writer.wait_closed(), READ_S)
