"""The same bytes for everybody: what the floor and nats-py send is what ours wrote, but for the id."""

import re

import nats

from fabric_bench.check import payloads
from fabric_bench.ours import connect
from fabric_bench.place import serve
from fabric_bench.plans import Specimen
from fabric_bench.specimens import block_of, lines_of

HEADER = (
    b"NATS/1.0\r\nce-fablive: 0a1b2c3d4e:17\r\nce-specversion: 1.0\r\nce-source: /nats/bench\r\n"
    b"ce-id: 0a1b2c3d4e-17\r\nce-time: 2026-11-21T03:56:33.459455Z\r\n\r\n"
)
SPECIMEN = Specimen(subject="fab.lv.bench.x", reply="", header=HEADER, payload=b"{}")


def test_another_number_changes_the_id_and_the_running_number_and_nothing_else() -> None:
    other = block_of(SPECIMEN, 42)
    assert len(other) == len(HEADER)
    assert re.findall(rb"-42\r\n|:42\r\n", other) == [b":42\r\n", b"-42\r\n"]
    assert other.replace(b"0123456789", b"0a1b2c3d4e").replace(b"42\r\n", b"17\r\n") == HEADER


def test_ids_of_different_numbers_differ() -> None:
    assert len({block_of(SPECIMEN, number) for number in range(100)}) == 100


def test_lines_say_the_same_in_the_same_order() -> None:
    lines = lines_of(SPECIMEN, 42)
    text = "NATS/1.0\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items()) + "\r\n"
    assert text.encode() == block_of(SPECIMEN, 42)


async def test_nats_py_writes_the_very_bytes_that_ours_wrote() -> None:
    async with serve() as server:

        async def ours() -> None:
            async with (
                connect(server.user, "bench") as fab,
                fab.channel("bench.same").publisher(delivery="live") as out,
            ):
                await out.send(payloads(1)[0])

        async def theirs() -> None:
            client = await nats.connect(server.user.url, user_credentials=server.user.creds)
            await client.publish(specimen.subject, specimen.payload, headers=lines_of(specimen, 1))
            await client.close()

        wanted = {"fab.lv.*.bench.same": "event"}
        (specimen,) = await server.catch(wanted, ours)
        (other,) = await server.catch(wanted, theirs)
    assert other.header == block_of(specimen, 1)
    assert len(other.header) == len(specimen.header)
    assert (other.subject, other.payload) == (specimen.subject, specimen.payload)
