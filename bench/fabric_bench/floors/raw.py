"""The raw floor: sockets, prepared buffers and nothing else, so that the server is what is measured.

What it sends are the bytes of a specimen of ours with another id. One thread, no loop, no parsing while the
clock runs: acknowledgements and messages are counted, and read in full only afterwards. Above: scenarios.
"""

import base64
import json
import select
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import nkeys

from fabric_bench.check import check, numbers_of, payloads
from fabric_bench.pacing import GAUGE_STEP, Clock, Gauge
from fabric_bench.plans import DurablePlan, LivePlan, Measured, Place
from fabric_bench.specimens import block_of
from fabric_bench.worker import Ready
from fabric_codecs.nats.wire import Parser, Writer

__all__ = ["RawConnection", "durable", "live_publish", "live_receive"]

READ_BYTES = 1 << 18
PATIENCE_S = 30.0
BURST = 128  # messages in one write: some 80 KB


class RawConnection:
    """A socket after CONNECT, in operator mode signed as the credentials say."""

    def __init__(self, place: Place) -> None:
        where = urlsplit(place.url)
        self.socket = socket.create_connection((where.hostname, where.port or 4222), timeout=PATIENCE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._early = b""
        info = json.loads(self._line().partition(b" ")[2])
        options: dict[str, Any] = {"verbose": False, "headers": True, "no_responders": True, "echo": True}
        options |= {"name": "raw", "lang": "raw", "version": "0", "protocol": 1}
        if place.creds:
            token, seed = _credentials(Path(place.creds).read_text())
            signature = nkeys.from_seed(seed.encode()).sign(info["nonce"].encode())
            options |= {"jwt": token, "sig": _base64url(signature)}
        self.socket.sendall(b"CONNECT " + json.dumps(options).encode() + b"\r\n")
        self.ping()

    def subscribe(self, subject: str, sid: int = 1) -> None:
        """Returns when the subscription is active."""
        self.socket.sendall(f"SUB {subject} {sid}\r\n".encode())
        self.ping()

    def ping(self) -> None:
        """Until the server has read everything sent so far. Raises ConnectionError with its complaint."""
        self.socket.sendall(b"PING\r\n")
        while (line := self._line()) != b"PONG":
            if line.startswith(b"-ERR"):
                raise ConnectionError(line.decode())

    def close(self) -> None:
        """Safe to call twice."""
        self.socket.close()

    def _line(self) -> bytes:
        while b"\r\n" not in self._early:
            data = self.socket.recv(READ_BYTES)
            if not data:
                raise ConnectionError("the server closed the connection")
            self._early += data
        line, _, self._early = self._early.partition(b"\r\n")
        return line


async def durable(plan: DurablePlan, _ready: Ready) -> Measured:
    """Publish with acknowledgements, counted as they come."""
    specimen = plan.specimen
    writer = Writer()
    subject, reply = specimen.subject.encode(), f"{specimen.reply.rpartition('.')[0]}.".encode()
    bursts = []
    for number, payload in enumerate(payloads(plan.count), 1):
        writer.publish(subject, reply, block_of(specimen, number), payload, number)
        if number % BURST == 0 or number == plan.count:
            bursts.append(writer.take())
    connection = RawConnection(plan.place)
    connection.subscribe(f"{reply.decode()}*")
    clock = Clock()
    answers = _publish_and_count(connection.socket, bursts, plan)
    clock.stop()
    connection.close()
    sequences = _sequences(answers)
    result = check(sequences, sorted(set(sequences)))
    return Measured(
        values={"durable.publish": plan.count / clock.elapsed_s},
        lost=plan.count - len(set(sequences)),
        duplicated=result.duplicated,
        disordered=result.disordered,
        notes=clock.cpu(plan.count),
    )


def _publish_and_count(sock: socket.socket, bursts: list[bytes], plan: DurablePlan) -> list[bytes]:
    # Non-blocking both ways: the next burst goes out as soon as the socket and the window have room.
    sock.setblocking(False)
    answers: list[bytes] = []
    tail = b""
    sent = acknowledged = 0
    waiting: memoryview = memoryview(b"")
    upcoming = iter(bursts)
    while acknowledged < plan.count:
        if not waiting and sent - acknowledged < plan.window and (burst := next(upcoming, b"")):
            waiting = memoryview(burst)
            sent += BURST
        readable, writable, _ = select.select([sock], [sock] if waiting else [], [], PATIENCE_S)
        if not readable and not writable:
            raise TimeoutError(f"{acknowledged} of {plan.count} messages were acknowledged, then nothing")
        if readable:
            data = sock.recv(READ_BYTES)
            answers.append(data)
            acknowledged += (tail + data).count(b'"seq":') - tail.count(b'"seq":')
            tail = data[-5:]
        if writable:
            waiting = waiting[sock.send(waiting) :]
    return answers


def _sequences(answers: list[bytes]) -> list[int]:
    found: list[int] = []

    def acknowledged(_subject: bytes, _reply: bytes, _header: bytes, data: bytes) -> None:
        sequence = json.loads(data).get("seq", 0)
        if sequence:
            found.append(sequence)

    Parser({1: acknowledged}, _raise).feed(b"".join(answers))
    return found


async def live_publish(plan: LivePlan, _ready: Ready) -> Measured:
    """Write the prepared messages, never too far ahead of the receiver."""
    writer = Writer()
    subject = plan.specimen.subject.encode()
    bursts = []
    for number, payload in enumerate(payloads(plan.count), 1):
        writer.publish(subject, b"", block_of(plan.specimen, number), payload)
        if number % GAUGE_STEP == 0 or number == plan.count:
            bursts.append(writer.take())
    connection = RawConnection(plan.place)
    with Gauge(plan.gauge) as gauge:
        clock = Clock()
        for position, burst in enumerate(bursts):
            gauge.wait_room(position * GAUGE_STEP)
            connection.socket.sendall(burst)
        connection.ping()
        clock.stop()
    connection.close()
    return Measured(values={"started_s": clock.started_s}, notes=clock.cpu(plan.count))


async def live_receive(plan: LivePlan, ready: Ready) -> Measured:
    """Read until all bytes are there; how many that are is known, as every message has the same size but for
    the digits of its number."""
    connection = RawConnection(plan.place)
    subject = plan.specimen.subject
    source = subject.split(".")[2]
    connection.subscribe(subject.replace(f".{source}.", ".*.", 1))
    size = _delivered_bytes(plan)
    chunks: list[bytes] = []
    received = 0
    with Gauge(plan.gauge) as gauge:
        clock = Clock()
        ready()
        while received < size:
            chunk = connection.socket.recv(READ_BYTES)
            if not chunk:
                raise ConnectionError("the server closed the connection")
            chunks.append(chunk)
            received += len(chunk)
            gauge.write(received * plan.count // size)
    clock.stop()
    connection.close()
    arrived: list[bytes] = []
    Parser({1: lambda _subject, _reply, _header, data: arrived.append(data)}, _raise).feed(b"".join(chunks))
    return Measured(
        values={"ended_s": clock.ended_s},
        notes=clock.cpu(plan.count),
        **check(numbers_of(arrived), range(plan.count))._asdict(),
    )


def _delivered_bytes(plan: LivePlan) -> int:
    total = 0
    for number in range(1, plan.count + 1):
        header = len(block_of(plan.specimen, number))
        body = header + len(plan.specimen.payload)
        total += len(f"HMSG {plan.specimen.subject} 1 {header} {body}\r\n") + body + 2
    return total


def _raise(_sid: int, error: Exception) -> None:
    raise error


def _credentials(text: str) -> tuple[str, str]:
    # (JWT, seed) of a credentials file: the line after each BEGIN.
    lines = text.splitlines()
    begins = [at for at, line in enumerate(lines) if "BEGIN" in line]
    return lines[begins[0] + 1].strip(), lines[begins[1] + 1].strip()


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
