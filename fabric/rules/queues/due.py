"""A delayed job whose time has come: where it goes, read from what the server wrote and what its source
asked for.

The schedule's subject, which the server repeats in `Nats-Scheduler` and lets nobody else write, names the
source; the target's subject was the source's to choose and proves nothing. Queue and partition are the
source's to choose: it may put into any queue.
"""

from fabric.rules.queues.partitions import queue_problem
from fabric.subjects import QUEUE_PARTITIONS, job
from fabric_codecs.errors import CodecError
from fabric_codecs.names import decode_level, encode_level
from fabric_codecs.nats.headers import server_value_in, value_in

__all__ = ["job_block", "job_subject"]

DROPPED = (b"nats-", b"fab-queue:", b"fab-partition:", b"fab-retry:")


def job_subject(header: bytes) -> str | None:
    """Where the job goes; None when its header lines name no place."""
    scheduler = server_value_in(header, b"Nats-Scheduler").decode("latin-1").split(".")
    queue = value_in(header, b"Fab-Queue").decode("latin-1")
    partition = value_in(header, b"Fab-Partition").decode("latin-1")
    if len(scheduler) != 5 or partition not in QUEUE_PARTITIONS or not _is_queue(queue):
        return None
    return job(queue, partition, scheduler[3])


def job_block(header: bytes, sequence: int) -> bytes:
    """The job's header block. The id is the log's: a job that is moved twice is stored once."""
    lines = [line for line in header.split(b"\r\n")[1:] if line and not line.lower().startswith(DROPPED)]
    return b"\r\n".join([b"NATS/1.0", *lines, b"Nats-Msg-Id: due:%d" % sequence, b"", b""])


def _is_queue(token: str) -> bool:
    try:
        name = decode_level(token)
        return not queue_problem(name, token) and encode_level(name) == token
    except CodecError:
        return False
