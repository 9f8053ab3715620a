"""Timelines: what happened to one task, or to all, in order; as a list, or as a stream that goes on."""

import re
from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from receiver.domain.errors import NotFoundError
from receiver.lifecycle.ports import RecordedEvent
from receiver.web import problems
from receiver.web.answers import Event, Events
from receiver.web.context import Context, answer_json, described, id_of, route
from receiver.web.listening import EventStream
from receiver.web.operations import EVENT_STREAM, JSON, Answer, Operation, Parameter
from receiver.web.problems import invalid
from receiver.web.queries import read_query, whole_number

#: How many events one answer holds at most, and when nothing is said.
MOST_EVENTS = 1000
LARGEST_ID = 2**63 - 1
#: In place of an id: what comes from now on.
LATEST = "latest"
_LAST_EVENT_ID = "Last-Event-ID"
_DIGITS = re.compile(r"[0-9]{1,19}")
_QUALITY = re.compile(r"q=(0(\.[0-9]{0,3})?|1(\.0{0,3})?)")

_Id = Annotated[int, Field(ge=0, le=LARGEST_ID)]
_PARAMETERS = (
    Parameter(
        "after",
        f"Tell only events above this id. A stream also takes `{LATEST}`: only what happens from now on.",
        _Id | Literal["latest"],
        example=41,
    ),
    Parameter(
        "limit",
        "The most events of a list; a stream takes no limit.",
        Annotated[int, Field(ge=1, le=MOST_EVENTS)],
        example=100,
    ),
    Parameter(
        _LAST_EVENT_ID,
        "The id of the last event received: what is told goes on behind it. It wins over `after`.",
        _Id,
        where="header",
        example=41,
    ),
)
_LISTED = Answer(
    "The events, oldest first. With `Accept: text/event-stream` a stream of them: `id` is the id of the event, "
    "`event` its type, `data` the event as JSON. Comments come between when nothing happens.",
    {JSON: Events, EVENT_STREAM: Event},
)


def routes(context: Context) -> list[Route]:
    """Return the routes of this room."""
    return [
        route(context, "/v1/tasks/{id}/events", GET=of_task),
        route(context, "/v1/events", GET=of_all),
    ]


@described(
    Operation(
        "listTaskEvents",
        "events",
        "What happened to a task",
        {
            200: _LISTED,
            204: Answer("The task has ended and the stream that is resumed here would have nothing more to tell."),
        },
        _PARAMETERS,
        problems=(problems.NOT_FOUND, problems.INVALID_REQUEST, problems.TOO_MANY_STREAMS),
    )
)
async def of_task(context: Context, request: Request) -> Response:
    """Answer with the events of one task above `after`, oldest first.

    A stream begins with the first event (or behind `Last-Event-ID` or `after`) and ends by itself when the task has
    ended: after the last event on record once the task is succeeded, partial, failed, lost or cancelled. What comes
    later (a delivery, a lost task that is found) is told to those who ask again and by `/v1/events`.
    """
    task_id = id_of(request, "id")
    if not _wants_stream(request):
        after, limit = _page(request)
        events = await context.ports.store.events(task_id, after=after, limit=limit)
        if not events and await context.ports.store.task(task_id) is None:
            raise NotFoundError
        return _list(context, events)
    behind = _beginning(request)
    task = await context.ports.store.task(task_id)
    if task is None:
        raise NotFoundError
    ended = task.status.terminal
    if ended and behind is not None and _LAST_EVENT_ID in request.headers:
        # A browser comes again after every end, until it is told that there is nothing left.
        news = await context.ports.store.events(task_id, after=behind, limit=1)
        if not news:
            return Response(status_code=204, headers=_VARY)
    return EventStream(context, task_id, behind, ended=ended, headers=_VARY)


@described(
    Operation(
        "listEvents",
        "events",
        "What happened to all tasks",
        {200: _LISTED},
        _PARAMETERS,
        problems=(problems.INVALID_REQUEST, problems.TOO_MANY_STREAMS),
    )
)
async def of_all(context: Context, request: Request) -> Response:
    """Answer with the events of all tasks above `after`, oldest first.

    A stream begins with the oldest event we have, unless `Last-Event-ID` or `after` says otherwise, and goes on until
    its reader leaves or the service stops; who comes again with the last id has missed nothing. Before its first
    event it names the id behind which it begins.
    """
    if _wants_stream(request):
        return EventStream(context, None, _beginning(request), headers=_VARY)
    after, limit = _page(request)
    return _list(context, await context.ports.store.events(None, after=after, limit=limit))


#: Two representations lie at one address.
_VARY = {"Vary": "Accept"}


def _list(context: Context, events: Iterable[RecordedEvent]) -> Response:
    return answer_json({"data": [context.present.event(event) for event in events]}, headers=_VARY)


def _page(request: Request) -> tuple[int, int]:
    """Return the id behind which a list begins, and how long it may be."""
    query = read_query(request.query_params, ("after", "limit"))
    after = whole_number(query, "after", default=0, least=0, most=LARGEST_ID)
    limit = whole_number(query, "limit", default=MOST_EVENTS, least=1, most=MOST_EVENTS)
    last = _last_event_id(request)
    return (after if last is None else last), limit


def _beginning(request: Request) -> int | None:
    """Return the id behind which a stream begins, None for what happens from now on."""
    query = read_query(request.query_params, ("after", "limit"))
    if "limit" in query:
        raise invalid("limit", "is for a list: a stream takes none")
    after = (
        None if query.get("after") == LATEST else whole_number(query, "after", default=0, least=0, most=LARGEST_ID)
    )
    last = _last_event_id(request)
    return after if last is None else last


def _last_event_id(request: Request) -> int | None:
    """Return what a reader says it had last; a browser that comes again repeats its old ``after`` beside it."""
    told = request.headers.getlist(_LAST_EVENT_ID)
    if not told:
        return None
    if len(told) > 1 or not _DIGITS.fullmatch(told[0]) or int(told[0]) > LARGEST_ID:
        raise invalid(_LAST_EVENT_ID, "must be given once, as the id of an event: a whole number")
    return int(told[0])


def _wants_stream(request: Request) -> bool:
    """Tell whether a stream is asked for by name, and not less than JSON (RFC 9110, 12.5.1)."""
    wanted: dict[str, float] = {}
    for entry in ",".join(request.headers.getlist("Accept")).lower().split(","):
        name, *parameters = (part.strip() for part in entry.split(";"))
        quality = next((found for part in parameters if (found := _QUALITY.fullmatch(part))), None)
        wanted[name] = float(quality[1]) if quality else 1.0
    stream = wanted.get(EVENT_STREAM, 0.0)
    return stream > 0 and stream >= wanted.get(JSON, 0.0)
