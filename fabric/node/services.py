"""What a node does for clients that need more rights than their own: each service is one function.

In: requests on `fab.svc.<what>.<source>`, whose source the server vouches for. Out: one answer each, a JSON
value or `{"error": {code, message, retry_after_ms}}`. Several nodes share the requests. Bounded: beyond
`RUNNING_MAX` at once a request is refused. Above: `node`, which offers services. Below: the connection.
Client side: `fabric.client.link.Link.ask`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from fabric import subjects
from fabric.errors import FabricError, InternalError, InvalidName, Refused
from fabric.jetstream.connection import Connection

__all__ = ["Service", "Services"]

log = logging.getLogger(__name__)

Service = Callable[[str, bytes], Awaitable[object]]
"""`await service(source token, request body)` answers something that msgspec can make JSON of; what it
raises, a FabricError or a msgspec error on the body, goes to the client."""

RUNNING_MAX = 256
RUN_TIMEOUT_S = 10.0
GROUP = "fabric-nodes"
BUSY_RETRY_MS = 500


class Services:
    """The services of one node: `await start()`, later `await stop()`."""

    def __init__(self, connection: Connection, offered: Mapping[str, Service]) -> None:
        self._connection = connection
        self._offered = dict(offered)
        self._running: set[asyncio.Task[None]] = set()
        self._subscription = connection.subscribe(subjects.SERVICES, self._asked, group=GROUP)

    async def stop(self) -> None:
        """Take no more; let what runs end within its time."""
        self._connection.unsubscribe(self._subscription)
        await asyncio.gather(*self._running, return_exceptions=True)

    def _asked(self, subject: bytes, reply: bytes, _header: bytes, data: bytes) -> None:
        if not reply.startswith(b"_INBOX."):  # nobody else may be answered in our name
            return
        _, _, what, source = subject.decode().split(".")
        if len(self._running) >= RUNNING_MAX:
            busy = Refused("full", retry_after_ms=BUSY_RETRY_MS, depth=RUNNING_MAX, detail="the node is busy")
            self._answer(reply, _as_error(busy))
            return
        task = asyncio.create_task(self._run(what, source, reply, data), name=f"fabric-service-{what}")
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _run(self, what: str, source: str, reply: bytes, data: bytes) -> None:
        self._answer(reply, await self._outcome(what, source, data))

    async def _outcome(self, what: str, source: str, data: bytes) -> bytes:
        service = self._offered.get(what)
        if service is None:
            known = ", ".join(sorted(self._offered))
            return _as_error(InvalidName("service", what, f"this node has {known}"))
        try:
            return msgspec.json.encode(await asyncio.wait_for(service(source, data), RUN_TIMEOUT_S))
        except TimeoutError:
            return _as_error(
                Refused("timeout", retry_after_ms=1000, unknown=True, detail=f"{what} took too long")
            )
        except FabricError as error:
            return _as_error(error)
        except msgspec.MsgspecError as error:
            return _as_error(InvalidName("request", what, str(error)))
        except Exception as error:
            log.exception("service %s failed for %s", what, source)
            return _as_error(InternalError(f"service {what}: {error!r}"))

    def _answer(self, reply: bytes, body: bytes) -> None:
        self._connection.writer.publish(reply, b"", b"", body)
        self._connection.wake()


def _as_error(error: FabricError) -> bytes:
    said: dict[str, Any] = {"code": error.code, "message": str(error)}
    if isinstance(error, Refused):
        said |= {
            "reason": error.reason,
            "retry_after_ms": error.retry_after_ms,
            "unknown": error.unknown,
            "detail": error.detail,
        }
    return msgspec.json.encode({"error": said})
