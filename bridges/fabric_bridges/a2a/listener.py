"""The A2A listener: cards and JSON-RPC over HTTP.

| path                                          | what                                                   |
|-----------------------------------------------|--------------------------------------------------------|
| GET  /a2a/agents                              | the cards of all live agents                           |
| GET  /a2a/<agent>/.well-known/agent-card.json | one agent's card                                       |
| POST /a2a/<agent>                             | JSON-RPC; an answer, or a stream of server-sent events |

A request passes, in this order: token and limits (the HTTP floor), size, JSON-RPC's form, A2A-Version, the
method's own checks. The first that fails answers.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from prometheus_client import Counter, Gauge
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fabric.config import read_settings
from fabric.edge import House
from fabric.errors import FabricError, NoSuchAgent
from fabric_bridges.a2a.cards import a2a_card
from fabric_bridges.a2a.config import A2aSettings
from fabric_bridges.a2a.faults import answer_codec_error, answer_fabric_error
from fabric_bridges.a2a.methods import Exchange, Methods
from fabric_bridges.crossings import Crossings
from fabric_bridges.http.answer import json_response
from fabric_bridges.http.app import HttpServer, build_app
from fabric_bridges.http.limits import HttpRefused, read_body
from fabric_codecs.a2a.card import CARD_PATH, VERSION, version_is_served, write_card, write_cards
from fabric_codecs.a2a.faults import Fault, refuse
from fabric_codecs.core.jsonrpc import Rpc, peek_id, read_rpc
from fabric_codecs.errors import CodecError

__all__ = ["A2aEdge", "edge"]

NAME = "a2a"
ROOT = "/a2a"
LAST_WORDS_S = 0.5  # for streams to say that their task was cancelled


class A2aEdge:
    """The edge; see `fabric.edge`."""

    name = NAME

    def __init__(self, settings: A2aSettings) -> None:
        self._settings = settings
        self._house: House | None = None
        self._methods: Methods | None = None
        self._server: HttpServer | None = None

    @property
    def address(self) -> str:
        """The root that agents are below: `http://127.0.0.1:8182/a2a`."""
        return f"{self._server.url if self._server else self._settings.url}{ROOT}"

    async def start(self, house: House) -> None:
        """Listen. Raises PortInUse."""
        settings = self._settings
        methods = Methods(house.fabric, Crossings(house, NAME), settings)
        routes = [
            Route(f"{ROOT}/agents", self._list, methods=["GET"]),
            Route(f"{ROOT}/{{agent}}{CARD_PATH}", self._card, methods=["GET"]),
            Route(f"{ROOT}/{{agent}}", self._rpc, methods=["POST"]),
        ]
        app = build_app(
            routes, edge=NAME, settings=settings, authenticator=house.authenticator, metrics=house.metrics
        )
        self._house, self._methods = house, methods
        self._server = HttpServer(NAME, app, settings, house.metrics)
        await self._server.start()
        _measure(house, methods)

    async def stop(self, grace_s: float = 2.0) -> None:
        """Begin no task, let the running ones end, cancel what is left at its agent, close."""
        if self._methods is None or self._server is None:
            return
        await self._methods.close(grace_s)
        await self._server.stop(LAST_WORDS_S)

    # Paths

    async def _list(self, request: Request) -> Response:
        house = self._at_home()
        cards = [a2a_card(card, self._url(request, card.name)) async for card in house.fabric.find()]
        return json_response(write_cards(cards))

    async def _card(self, request: Request) -> Response:
        name = request.path_params["agent"]
        card = await self._at_home().fabric.agent_card(name)
        if card is None:
            raise HttpRefused(404, NoSuchAgent.code, str(NoSuchAgent(name)))
        return json_response(write_card(a2a_card(card, self._url(request, name))))

    async def _rpc(self, request: Request) -> Response:
        house = self._at_home()
        body = await read_body(
            request, bytes_max=self._settings.body_bytes_max, timeout_s=self._settings.body_timeout_s
        )
        try:
            rpc = _read(body)
        except CodecError as error:
            house.metrics.malformed.labels(NAME).inc()
            return answer_codec_error(peek_id(body), error)
        try:
            return await self._answer(request, rpc)
        except CodecError as error:
            fault = Fault(error.reason or Fault.INVALID_PARAMS)
            house.metrics.refusals.labels(NAME, fault.name.lower()).inc()
            return answer_codec_error(rpc.id, error)
        except FabricError as error:
            house.metrics.refusals.labels(NAME, error.code).inc()
            return answer_fabric_error(rpc.id, error)

    async def _answer(self, request: Request, rpc: Rpc) -> Response:
        assert self._methods is not None, "started"
        spoken = request.headers.get("a2a-version") or request.query_params.get("A2A-Version", "")
        if not version_is_served(spoken):
            raise refuse(
                f"A2A {spoken or '0.3 (no A2A-Version)'} is not served; supported: {VERSION}",
                Fault.VERSION_NOT_SUPPORTED,
                "A2A 1.0.1, 3.6.2",
            )
        return await self._methods.answer(
            Exchange(
                rpc,
                request.path_params["agent"],
                request.state.principal,
                request.receive,
                request.headers.get("traceparent"),
            )
        )

    def _url(self, request: Request, agent: str) -> str:
        """Where an agent is reached: as the client reached us, unless the settings know better."""
        root = self._settings.public_url.rstrip("/") or str(request.base_url).rstrip("/")
        return f"{root}{ROOT}/{quote(agent, safe='')}"

    def _at_home(self) -> House:
        assert self._house is not None, "the edge serves only between start and stop"
        return self._house


def edge(settings: Mapping[str, Any]) -> A2aEdge:
    """The edge factory of the entry point. Raises ConfigInvalid naming the key."""
    return A2aEdge(read_settings(A2aSettings, settings, f"[edges.{NAME}]"))


def _read(body: bytes) -> Rpc:
    rpc = read_rpc(body)
    if rpc.kind != "request":
        raise refuse(
            f"a JSON-RPC request is expected, this is a {rpc.kind}", Fault.INVALID_REQUEST, "JSON-RPC 2.0"
        )
    return rpc


def _measure(house: House, methods: Methods) -> None:
    registry = house.metrics.registry
    tasks = Gauge("fabric_a2a_tasks", "A2A tasks remembered", registry=registry)
    tasks.set_function(lambda: len(methods.tasks))
    forgotten = Counter(
        "fabric_a2a_tasks_forgotten_total",
        "Finished A2A tasks forgotten before their time",
        registry=registry,
    )
    methods.tasks.on_forgotten = forgotten.inc
