"""The web side as one ASGI application: the callback door first, everything else behind host, key and router."""

import logging
from collections.abc import Awaitable, Callable
from uuid import UUID

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Lifespan, Message, Receive, Scope, Send

from receiver.domain.errors import NotFoundError
from receiver.lifecycle.ports import Ports
from receiver.web import (
    audio,
    dashboard,
    deliveries,
    docs,
    endpoints,
    events,
    health,
    inputs,
    problems,
    replaying,
    reports,
    statistics,
    tasks,
)
from receiver.web.auth import Attempts, Doorkeeper, Hosts, Keys
from receiver.web.bodies import Lingering, Room
from receiver.web.callbacks import CallbackDoor
from receiver.web.config import WebConfig
from receiver.web.context import CALLER, TEMPLATE, Context, Gate, described, route
from receiver.web.dashboard.pages import asks_for_page, missing
from receiver.web.doctor import DoctorDoor
from receiver.web.doorbook import DoorBook
from receiver.web.entrance import Entrance
from receiver.web.faults import log_fault
from receiver.web.gauges import Gauges
from receiver.web.operations import Answer, Operation
from receiver.web.present import Presenter
from receiver.web.problems import BrokenOffError, refusal
from receiver.web.redaction import Redactor
from receiver.web.streams import News

__all__ = ["Application", "WebConfig", "create_app", "presenter"]

_log = logging.getLogger("receiver.web")


def create_app(ports: Ports, config: WebConfig, *, lifespan: Lifespan[Starlette] | None = None) -> "Application":
    """Return the application for the roles in ``config``.

    Every role serves health and metrics; ``callbacks`` the public side, ``api`` the private one with its document.
    """
    present = presenter(ports, config)
    context = Context(
        ports=ports,
        config=config,
        present=present,
        keys=Keys(config.api_keys),
        attempts=Attempts(ports.system.monotonic),
        room=Room(config.request_room_bytes),
        waits=Gate(config.max_waits, problems.TOO_MANY_WAITS),
        streams=Gate(config.max_streams, problems.TOO_MANY_STREAMS),
        replays=Gate(replaying.MOST_AT_ONCE, problems.TOO_MANY_REPLAYS),
        trials=Gate(endpoints.MOST_TRIALS, problems.TOO_MANY_TRIALS),
        redrives=Gate(deliveries.MOST_REDRIVES, problems.TOO_MANY_REDRIVES),
        uploads=Gate(inputs.MOST_AT_ONCE, problems.TOO_MANY_UPLOADS),
        news=News(ports.store, present.event, config.bell, config.draining),
        book=DoorBook(ports),
    )
    readiness = health.Readiness(ports, config.works if "worker" in config.roles else None)
    gauges = Gauges(context, readiness)
    routes = [*health.routes(readiness), *_metrics(context, gauges)]
    house = None
    if "api" in config.roles:
        house = dashboard.opened(context)
        routes += dashboard.routes(house)
        routes += docs.routes(context, lambda: app.routes)
        for room in (tasks, inputs, events, reports, replaying, statistics, audio, endpoints, deliveries):
            routes += room.routes(context)
    if "callbacks" in config.roles:
        routes += inputs.public_routes(context)
    door = CallbackDoor(ports, config, context.book) if "callbacks" in config.roles else None
    app = Application(door, context, routes, lifespan, house)
    return app


def presenter(ports: Ports, config: WebConfig) -> Presenter:
    """Return what shows tasks, and everything about them, to callers and to those who are notified."""
    metrics_keys = [config.metrics_key] if config.metrics_key else []
    opening_secrets = [part for key in (*config.api_keys, *metrics_keys) for part in (key, key.partition(":")[2])]
    redactor = Redactor(ports.tokens, (*opening_secrets, *config.secrets), ports.system.sleep)
    return Presenter(ports, redactor, (config.api_url or "").rstrip("/"))


class Application(Starlette):
    """Starlette, with the callback door in front of all its layers: it has answers of its own for everything."""

    def __init__(
        self,
        door: CallbackDoor | None,
        context: Context,
        routes: list[Route],
        lifespan: Lifespan[Starlette] | None,
        house: dashboard.House | None,
    ) -> None:
        super().__init__(
            routes=routes,
            middleware=[Middleware(_PrivateSide, context=context)],
            exception_handlers={HTTPException: _refusing(house)},
            lifespan=lifespan,
        )
        # A path with a slash too many is not there; a redirect would repeat whatever token stands in it.
        self.router.redirect_slashes = False
        #: For the server below: what it may ask without the layers of ASGI.
        self.entrance: Entrance | None = door
        self._door = door and DoctorDoor(door, context.ports, context.config)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._door is not None and scope["type"] == "http" and scope["path"].lstrip("/").startswith("callbacks"):
            await self._door(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


class _PrivateSide:
    """Around the router: who may come in, what every answer carries, and the last resort for what went wrong."""

    def __init__(self, app: ASGIApp, context: Context) -> None:
        self._app = app
        self._context = context
        self._hosts = Hosts(context.config.api_hosts, loopback=context.config.loopback)
        keys, metrics_key = context.config.api_keys, context.config.metrics_key
        self._doorkeeper = Doorkeeper(context.keys, context.attempts)
        # Whoever reads the measures may know nothing else of the tasks, and do nothing with them.
        self._for_metrics = Doorkeeper(Keys((*keys, metrics_key) if metrics_key else keys), context.attempts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        ports = self._context.ports
        started = ports.system.monotonic()
        answering = _Answering(scope, send)
        try:
            self._admit(scope)
            await self._app(scope, receive, answering.send)
        except BrokenOffError:
            pass
        except Exception as error:  # noqa: BLE001 - the last resort: no error reaches the server below
            await self._refuse(error, scope, receive, answering)
        template = str(scope.get(TEMPLATE, "other"))
        status = f"{answering.status // 100}xx" if answering.status else "none"
        ports.metrics.count("requests", route=template, status=status)
        ports.metrics.observe("request_seconds", ports.system.monotonic() - started, route=template)

    def _admit(self, scope: Scope) -> None:
        """Raise what is to be answered to a request that may not come in; nothing of its body is read."""
        path = scope["path"]
        if path in health.PATHS or path.startswith(_PUBLIC):
            return
        if not self._hosts.admits(scope):
            raise NotFoundError
        is_private = path == "/v1" or path.startswith("/v1/")
        if "api" not in self._context.config.roles and (is_private or path in docs.PATHS):
            raise NotFoundError
        if not is_private and (path not in _TELLING or self._context.config.metrics_public):
            return
        has_key = any(name == b"authorization" for name, _ in scope["headers"])
        if has_key or not audio.opened_by_token(self._context.ports, scope):
            doorkeeper = self._for_metrics if path == _METRICS else self._doorkeeper
            scope[CALLER] = doorkeeper.admit(scope, asks_browser=path in docs.PATHS)

    async def _refuse(self, error: Exception, scope: Scope, receive: Receive, answering: "_Answering") -> None:
        refused = refusal(error)
        if refused.fault:
            template = str(scope.get(TEMPLATE, "other"))
            named = {"task_id": _task_id(scope)} if template.startswith(_OF_A_TASK) else {}
            log_fault(_log, "request_fault", error, route=template, status=refused.kind.status, **named)
        if answering.status is None:
            send = Lingering(receive, answering.send) if refused.unread else answering.send
            await refused.response()(scope, receive, send)


class _Answering:
    """A ``send`` that notes the status and adds what every answer carries."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._send = send
        self._storable = scope["path"] in health.PATHS
        self.status: int | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers.setdefault("X-Content-Type-Options", "nosniff")
            if not self._storable:
                headers.setdefault("Cache-Control", "no-store")
        await self._send(message)


def _task_id(scope: Scope) -> str | None:
    """Return the id in the path of a task's route when it is spelt as an id; a caller may have written anything."""
    try:
        return str(UUID(str(scope["path_params"]["id"])))
    except (KeyError, ValueError):
        return None


def _refusing(house: dashboard.House | None) -> Callable[[Request, Exception], Awaitable[Response]]:
    """Return what answers for the router where there is nothing: a page to a browser, else a problem."""

    async def refuse(request: Request, error: Exception) -> Response:
        if house is None or not asks_for_page(request):
            return refusal(error).response()
        return await missing(house, request, error)

    return refuse


#: Found by whoever has the link, under whatever name the provider reaches us.
_PUBLIC = "/inputs/"
#: How the templates begin of what is about one task.
_OF_A_TASK = "/v1/tasks/{id}"
_METRICS = "/metrics"
#: What tells of this installation, though nothing of a task: with a key, unless the operator has it shown to all.
_TELLING = frozenset({_METRICS, *docs.PATHS})


def _metrics(context: Context, gauges: Gauges) -> list[Route]:
    page = context.config.metrics_page
    if page is None:
        return []

    @described(
        Operation(
            "getMetrics",
            "service",
            "Counters, gauges and durations",
            {200: Answer("Prometheus' text format.", {"text/plain": None})},
        )
    )
    async def show(_: Context, __: Request) -> Response:
        """Tell what was counted and what is true now; `RECEIVER_METRICS_KEY` opens this too, and nothing else."""
        await gauges.take()
        return Response(page(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return [route(context, _METRICS, GET=show)]
