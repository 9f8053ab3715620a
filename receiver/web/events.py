"""Timelines: what happened to one task, or to all, in order."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from receiver.domain.errors import NotFoundError
from receiver.web.context import Context, answer_json, id_of, route
from receiver.web.queries import read_query, whole_number

#: How many events one answer holds at most, and when nothing is said.
MOST_EVENTS = 1000
_LARGEST_ID = 2**63 - 1


def routes(context: Context) -> list[Route]:
    """Return the routes of this room."""
    return [
        route(context, "/v1/tasks/{id}/events", GET=of_task),
        route(context, "/v1/events", GET=of_all),
    ]


async def of_task(context: Context, request: Request) -> Response:
    """Answer with the events of one task above ``after``, oldest first."""
    after, limit = _page(request)
    task_id = id_of(request, "id")
    events = await context.ports.store.events(task_id, after=after, limit=limit)
    if not events and await context.ports.store.task(task_id) is None:
        raise NotFoundError
    return answer_json({"data": [context.present.event(event) for event in events]})


async def of_all(context: Context, request: Request) -> Response:
    """Answer with the events of all tasks above ``after``, oldest first."""
    after, limit = _page(request)
    events = await context.ports.store.events(None, after=after, limit=limit)
    return answer_json({"data": [context.present.event(event) for event in events]})


def _page(request: Request) -> tuple[int, int]:
    query = read_query(request.query_params, ("after", "limit"))
    return (
        whole_number(query, "after", default=0, least=0, most=_LARGEST_ID),
        whole_number(query, "limit", default=MOST_EVENTS, least=1, most=MOST_EVENTS),
    )
