"""Asking for generations and looking at them."""

import re

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Scope

from receiver.domain.errors import NotFoundError
from receiver.domain.task import Status, Task
from receiver.lifecycle import operate
from receiver.lifecycle.ports import TaskFilter
from receiver.lifecycle.submit import Caller, intend
from receiver.web import problems
from receiver.web.bodies import NoRoomError, TooLargeError, TooSlowError, header, read_body
from receiver.web.context import CALLER, Context, answer_json, id_of, route
from receiver.web.documents import read_document, shown_name
from receiver.web.present import task_path
from receiver.web.problems import BrokenOffError, ProblemError, invalid
from receiver.web.queries import METADATA, cursor, cursor_for, moment, read_query, seconds, whole_number
from receiver.web.schemas import LONGEST_METADATA_KEY, MOST_METADATA, read_task

MOST_LISTED = 200
USUALLY_LISTED = 50
LONGEST_WAIT_SECONDS = 60.0
#: How often a waiting caller's task is looked at.
LOOK_EVERY_SECONDS = 0.25
_FILTERS = ("status", "provider", "created_after", "created_before", "limit", "cursor")


def routes(context: Context) -> list[Route]:
    """Return the routes of this room."""
    return [
        route(context, "/v1/tasks", GET=listing, POST=create),
        route(context, "/v1/tasks/{id}", GET=show),
        route(context, "/v1/tasks/{id}/cancel", POST=cancel),
        route(context, "/v1/tasks/{id}/refresh", POST=refresh),
    ]


async def create(context: Context, request: Request) -> Response:
    """Take a request; its intent is durable before the answer says so."""
    read_query(request.query_params, ())
    _check_headers(request.scope)
    caller = _caller(request)
    config = context.config
    with context.room.share() as share:
        try:
            body = await read_body(
                request.scope,
                request.receive,
                share,
                limit=config.max_request_bytes,
                seconds=config.request_body_seconds,
            )
        except TooLargeError:
            detail = f"the body may have {config.max_request_bytes} bytes"
            raise ProblemError(problems.TOO_LARGE, detail, unread=True) from None
        except TooSlowError:
            raise ProblemError(problems.TOO_SLOW, unread=True) from None
        except NoRoomError:
            raise ProblemError(problems.UNAVAILABLE, headers=problems.LATER, unread=True) from None
        if body is None:
            raise BrokenOffError
        asked = read_task(read_document(body, most_values=context.ports.limits.max_brackets))
        task, replayed = await intend(context.ports, asked, caller)
    headers = {"Location": context.present.base + task_path(task.id)}
    if replayed:
        headers["Idempotent-Replayed"] = "true"
    return answer_json(await context.present.task(task), 202, headers)


async def listing(context: Context, request: Request) -> Response:
    """Answer with tasks, newest first, and where to go on."""
    query = read_query(request.query_params, _FILTERS, metadata=True)
    limit = whole_number(query, "limit", default=USUALLY_LISTED, least=1, most=MOST_LISTED)
    wanted = TaskFilter(
        status=_status(query),
        provider=_provider(context, query),
        created_after=moment(query, "created_after"),
        created_before=moment(query, "created_before"),
        metadata=_metadata(query),
        limit=limit + 1,
        before_key=cursor(query, "cursor"),
    )
    found = await context.ports.store.tasks(wanted)
    page = found[:limit]
    more = len(found) > limit
    shown = await context.present.tasks(page)
    return answer_json({"data": shown, "next_cursor": cursor_for(page[-1].key) if more else None})


async def show(context: Context, request: Request) -> Response:
    """Answer with one task; with ``wait`` once it has ended or the seconds have passed."""
    query = read_query(request.query_params, ("wait",))
    wait = seconds(query, "wait", most=LONGEST_WAIT_SECONDS)
    task = await context.ports.store.task(id_of(request, "id"))
    if task is None:
        raise NotFoundError
    if wait and not task.status.terminal:
        with context.waits.enter():
            task = await _until_terminal(context, request, task, wait)
    return answer_json(await context.present.task(task))


async def cancel(context: Context, request: Request) -> Response:
    """Stop waiting for a task."""
    read_query(request.query_params, ())
    task = await operate.cancel(context.ports, id_of(request, "id"))
    return answer_json(await context.present.task(task))


async def refresh(context: Context, request: Request) -> Response:
    """Have a task looked at now."""
    read_query(request.query_params, ())
    task = await operate.refresh(context.ports, id_of(request, "id"))
    return answer_json(await context.present.task(task))


async def _until_terminal(context: Context, request: Request, task: Task, wait: float) -> Task:
    """Look again and again until the task has ended, the time is over, we stop, or nobody waits any more."""
    system = context.ports.system
    until = system.monotonic() + wait
    while not task.status.terminal and not context.config.draining():
        left = until - system.monotonic()
        if left <= 0:
            break
        await system.sleep(min(left, LOOK_EVERY_SECONDS))
        if await request.is_disconnected():
            raise BrokenOffError
        task = await context.ports.store.task(task.id) or task
    return task


def _check_headers(scope: Scope) -> None:
    """Refuse what is not plain JSON."""
    names = {name for name, _ in scope["headers"]}
    if header(scope, b"content-encoding") not in {None, b"identity"}:
        raise ProblemError(problems.UNSUPPORTED_TYPE, "the body must not be compressed", unread=True)
    if b"content-type" not in names:
        return
    media_type, *parameters = (header(scope, b"content-type") or b"").lower().replace(b" ", b"").split(b";")
    charsets = [value for value in parameters if value.startswith(b"charset=")]
    if media_type != b"application/json" or any(value.strip(b'"') not in _UTF_8 for value in charsets):
        raise ProblemError(problems.UNSUPPORTED_TYPE, unread=True)


def _caller(request: Request) -> Caller | None:
    """Return under whose name, and which, the same task may be asked for again."""
    keys = request.headers.getlist(_IDEMPOTENCY_KEY)
    if not keys:
        return None
    if len(keys) > 1 or _KEY.fullmatch(keys[0]) is None:
        raise invalid(_IDEMPOTENCY_KEY, "must be given once, as 1 to 255 printable ASCII characters")
    return Caller(str(request.scope[CALLER]), keys[0])


_IDEMPOTENCY_KEY = "Idempotency-Key"
_KEY = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?")
_UTF_8 = frozenset({b"charset=utf-8", b'charset="utf-8', b"charset=us-ascii"})


def _status(query: dict[str, str]) -> Status | None:
    word = query.get("status")
    if word is None:
        return None
    try:
        return Status(word)
    except ValueError:
        raise invalid("status", f"must be one of: {', '.join(Status)}") from None


def _provider(context: Context, query: dict[str, str]) -> str | None:
    name = query.get("provider")
    if name is not None and name not in context.ports.providers:
        raise invalid("provider", f"must be one of: {', '.join(sorted(context.ports.providers))}")
    return name


def _metadata(query: dict[str, str]) -> dict[str, str]:
    wanted = {name.removeprefix(METADATA): value for name, value in query.items() if name.startswith(METADATA)}
    for key in wanted:
        if len(key) > LONGEST_METADATA_KEY:
            raise invalid(shown_name("metadata", key), f"must have a name of 1 to {LONGEST_METADATA_KEY} characters")
    if len(wanted) > MOST_METADATA:
        raise invalid("metadata", f"has {len(wanted)} entries; a task has at most {MOST_METADATA}")
    return wanted
