"""What every private route shares, and how a route is put on the map."""

import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from receiver.domain.errors import NotFoundError
from receiver.lifecycle.ports import Ports
from receiver.web import problems
from receiver.web.auth import Attempts, Keys
from receiver.web.bodies import Room
from receiver.web.config import WebConfig
from receiver.web.doorbook import DoorBook
from receiver.web.operations import Operation
from receiver.web.present import Presenter
from receiver.web.problems import Kind, ProblemError
from receiver.web.streams import News

#: Under this name a request says which route it took, as a template: paths hold ids and tokens.
TEMPLATE = "receiver.route"
#: Under this name it says whose key opened it.
CALLER = "receiver.caller"


class Gate:
    """How many may be inside at once; ``full`` is what the next one is told."""

    def __init__(self, most: int, full: Kind) -> None:
        self._most = most
        self._full = full
        self._inside = 0

    @property
    def inside(self) -> int:
        """How many are inside now."""
        return self._inside

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Be inside for the length of the block; raise ProblemError 429 when it is full."""
        if self._inside >= self._most:
            raise ProblemError(self._full, headers=problems.LATER)
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1


@dataclass(frozen=True, slots=True)
class Context:
    """What a route may use."""

    ports: Ports
    config: WebConfig
    present: Presenter
    keys: Keys
    attempts: Attempts
    room: Room
    waits: Gate
    streams: Gate
    replays: Gate
    trials: Gate
    redrives: Gate
    uploads: Gate
    news: News
    book: DoorBook


Endpoint = Callable[[Context, Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Described:
    """An endpoint together with what the document says of it; called like the endpoint alone."""

    endpoint: Endpoint
    operation: Operation

    async def __call__(self, context: Context, request: Request) -> Response:
        """Answer."""
        return await self.endpoint(context, request)


def described(operation: Operation) -> Callable[[Endpoint], Described]:
    """Return a decorator that puts a description beside an endpoint; its docstring becomes part of the document."""
    return lambda endpoint: Described(
        endpoint, replace(operation, meaning=operation.meaning or endpoint.__doc__ or "")
    )


class DescribedRoute(Route):
    """A route that knows what the document says of each of its methods."""

    def __init__(
        self, path: str, answer: Callable[[Request], Awaitable[Response]], operations: Mapping[str, Operation | None]
    ) -> None:
        """Take the methods, each with its description; a test refuses one without."""
        super().__init__(path, answer, methods=list(operations))
        self.operations = {method: operation for method, operation in operations.items() if operation is not None}


def route(context: Context, path: str, **endpoints: Endpoint) -> DescribedRoute:
    """Return one route with an endpoint for each method, named in capitals; HEAD is GET without a body."""

    async def answer(request: Request) -> Response:
        request.scope[TEMPLATE] = path
        method = "GET" if request.method == "HEAD" else request.method
        return await endpoints[method](context, request)

    told = {method: one.operation if isinstance(one, Described) else None for method, one in endpoints.items()}
    return DescribedRoute(path, answer, told)


def answer_json(
    content: Mapping[str, object], status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return a JSON answer. A lone surrogate, which UTF-8 cannot carry, becomes a question mark."""
    body = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8", "replace")
    return Response(body, status, headers, media_type="application/json")


def id_of(request: Request, name: str) -> UUID:
    """Return an id from the path; raise NotFoundError for what is not spelt as ours are."""
    text: str = request.path_params[name]
    try:
        found = UUID(text)
    except ValueError:
        raise NotFoundError from None
    if str(found) != text.lower():
        raise NotFoundError
    return found
