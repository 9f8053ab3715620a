"""Asking for generations and looking at them."""

import re
from typing import Annotated

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from receiver.domain.errors import NotFoundError
from receiver.domain.task import Status, Task
from receiver.lifecycle import operate
from receiver.lifecycle.adopt import adopt
from receiver.lifecycle.ports import Caller, TaskFilter
from receiver.lifecycle.submit import intend
from receiver.web import erasing, problems
from receiver.web.adopting import ADOPTS, AdoptedTask, read_adoption
from receiver.web.answers import AnyMoment, Tasks
from receiver.web.answers import Task as TaskShape
from receiver.web.context import CALLER, Context, answer_json, described, id_of, route
from receiver.web.operations import Body, Operation, Parameter, answers
from receiver.web.present import task_path
from receiver.web.problems import BrokenOffError, invalid
from receiver.web.queries import cursor, cursor_for, metadata_of, moment, read_query, seconds, whole_number
from receiver.web.schemas import NewTask, read_task
from receiver.web.streams import first_of
from receiver.web.taking import taken

MOST_LISTED = 200
USUALLY_LISTED = 50
LONGEST_WAIT_SECONDS = 60.0
#: How often it is asked whether a waiting caller is still there.
GONE_EVERY_SECONDS = 0.25
_IDEMPOTENCY_KEY = "Idempotency-Key"
_EXAMPLES = {
    "runware": {
        "provider": "runware",
        "prompt": "quiet jazz trio, brushes and upright bass",
        "reference_audio": "https://files.example.org/reference.mp3",
        "count": 2,
        "metadata": {"song": "42"},
    },
    "aimlapi": {
        "provider": "aimlapi",
        "prompt": "quiet jazz trio, brushes and upright bass",
        "reference_audio": "https://files.example.org/reference.mp3",
    },
    "adopt": {"provider": "aimlapi", "provider_task_id": "5f2c8a1e:minimax/music-cover"},
}
_FILTERS = ("status", "provider", "created_after", "created_before", "limit", "cursor")


def routes(context: Context) -> list[Route]:
    """Return the routes of this room."""
    return [
        route(context, "/v1/tasks", GET=listing, POST=create, DELETE=erasing.erase_many),
        route(context, "/v1/tasks/{id}", GET=show, DELETE=erasing.erase_one),
        route(context, "/v1/tasks/{id}/cancel", POST=cancel),
        route(context, "/v1/tasks/{id}/refresh", POST=refresh),
    ]


@described(
    Operation(
        "createTask",
        "tasks",
        "Ask for a generation",
        {
            202: answers(
                "The task; its intent is on the disk.",
                TaskShape,
                Location="Where the task is found.",
                Idempotent_Replayed="`true`: the task was asked for before under this key.",
            )
        },
        (
            Parameter(
                _IDEMPOTENCY_KEY,
                "A name for this request, 1 to 255 printable ASCII characters: within a day the same name and "
                "request give the same task.",
                Annotated[str, Field(min_length=1, max_length=255)],
                where="header",
                example="order-4711",
            ),
        ),
        Body(
            "What to generate; or, with `provider_task_id`, which generation that was started elsewhere to adopt.",
            NewTask | AdoptedTask,
            examples=_EXAMPLES,
        ),
        problems=(
            problems.TAKEN,
            problems.INVALID_REQUEST,
            problems.REUSED_KEY,
        ),
    )
)
async def create(context: Context, request: Request) -> Response:
    """Take a request; its intent is durable before the answer says so."""
    read_query(request.query_params, ())
    caller = _caller(request)
    async with taken(context, request, limit=context.config.max_request_bytes) as document:
        if document.get(ADOPTS) is not None:
            task, replayed = await adopt(context.ports, read_adoption(document), caller)
        else:
            task, replayed = await intend(context.ports, read_task(document), caller)
    headers = {"Location": context.present.base + task_path(task.id)}
    if replayed:
        headers["Idempotent-Replayed"] = "true"
    return answer_json(await context.present.task(task), 202, headers)


@described(
    Operation(
        "listTasks",
        "tasks",
        "Tasks, newest first",
        {200: answers("One page.", Tasks)},
        (
            Parameter("status", "Only tasks that stand so.", Status, example="succeeded"),
            Parameter("provider", "Only tasks of this provider.", example="runware"),
            Parameter("created_after", "Only tasks made at this moment or later.", AnyMoment),
            Parameter("created_before", "Only tasks made before this moment.", AnyMoment),
            Parameter(
                "metadata.KEY",
                "Only tasks whose metadata has this value under KEY, any key of yours; several narrow.",
            ),
            Parameter(
                "limit",
                f"The most tasks of a page, {USUALLY_LISTED} when nothing is said.",
                Annotated[int, Field(ge=1, le=MOST_LISTED)],
            ),
            Parameter("cursor", "`next_cursor` of the page before."),
        ),
        problems=(problems.INVALID_REQUEST,),
    )
)
async def listing(context: Context, request: Request) -> Response:
    """Answer with tasks, newest first, and where to go on."""
    query = read_query(request.query_params, _FILTERS, metadata=True)
    limit = whole_number(query, "limit", default=USUALLY_LISTED, least=1, most=MOST_LISTED)
    wanted = TaskFilter(
        status=_status(query),
        provider=_provider(context, query),
        created_after=moment(query, "created_after"),
        created_before=moment(query, "created_before"),
        metadata=metadata_of(query),
        limit=limit + 1,
        before_key=cursor(query, "cursor"),
    )
    found = await context.ports.store.tasks(wanted)
    page = found[:limit]
    more = len(found) > limit
    shown = await context.present.tasks(page)
    return answer_json({"data": shown, "next_cursor": cursor_for(page[-1].key) if more else None})


@described(
    Operation(
        "getTask",
        "tasks",
        "One task",
        {200: answers("The task, ended or not.", TaskShape)},
        (
            Parameter(
                "wait",
                f"Seconds to wait until it has ended; more than {LONGEST_WAIT_SECONDS:g} are cut.",
                Annotated[float, Field(ge=0)],
                example=30,
            ),
        ),
        problems=(problems.NOT_FOUND, problems.INVALID_REQUEST, problems.TOO_MANY_WAITS),
    )
)
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


@described(
    Operation(
        "cancelTask",
        "tasks",
        "Stop waiting for a task",
        {200: answers("The task, cancelled.", TaskShape)},
        problems=(problems.NOT_FOUND, problems.ALREADY_TERMINAL, problems.INVALID_REQUEST),
    )
)
async def cancel(context: Context, request: Request) -> Response:
    """Stop waiting for a task."""
    read_query(request.query_params, ())
    task = await operate.cancel(context.ports, id_of(request, "id"))
    return answer_json(await context.present.task(task))


@described(
    Operation(
        "refreshTask",
        "tasks",
        "Have a task looked at now",
        {200: answers("The task, due for a look.", TaskShape)},
        problems=(problems.NOT_FOUND, problems.ALREADY_TERMINAL, problems.INVALID_REQUEST),
    )
)
async def refresh(context: Context, request: Request) -> Response:
    """Have a task looked at now."""
    read_query(request.query_params, ())
    task = await operate.refresh(context.ports, id_of(request, "id"))
    return answer_json(await context.present.task(task))


async def _until_terminal(context: Context, request: Request, task: Task, wait: float) -> Task:
    """Look at the task whenever something happens to it, until it has ended, the time is over, or nobody waits."""
    system, store = context.ports.system, context.ports.store
    until = system.monotonic() + wait
    async with context.news.listening() as newest:
        position = newest
        # It may have ended before we began to listen.
        task = await store.task(task.id) or task
        while not task.status.terminal and not context.config.draining():
            left = until - system.monotonic()
            if left <= 0:
                return await store.task(task.id) or task
            await first_of(system.sleep(min(left, GONE_EVERY_SECONDS)), context.news.rest(position, left))
            if await request.is_disconnected():
                raise BrokenOffError
            batch = await context.news.batch(task.id, position)
            position = batch.position
            if batch.lines:
                task = await store.task(task.id) or task
    return task


def _caller(request: Request) -> Caller | None:
    """Return under whose name, and which, the same task may be asked for again."""
    keys = request.headers.getlist(_IDEMPOTENCY_KEY)
    if not keys:
        return None
    if len(keys) > 1 or _KEY.fullmatch(keys[0]) is None:
        raise invalid(_IDEMPOTENCY_KEY, "must be given once, as 1 to 255 printable ASCII characters")
    return Caller(str(request.scope[CALLER]), keys[0])


_KEY = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?")


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
