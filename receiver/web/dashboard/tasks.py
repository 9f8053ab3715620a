"""Tasks as a list: narrowed down, page by page, looked at anew together; and one found by any id it has."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from starlette.datastructures import QueryParams
from starlette.responses import Response
from starlette.routing import Route

from receiver.domain.errors import AlreadyTerminalError, NotFoundError
from receiver.domain.task import Status
from receiver.lifecycle import endpoints, operate
from receiver.lifecycle.ports import DeliveryFilter, TaskFilter
from receiver.web.dashboard.pages import House, Visit, page
from receiver.web.dashboard.words import counted
from receiver.web.problems import ProblemError
from receiver.web.queries import cursor, cursor_for

SHOWN = 50
#: No id that we or a provider make is longer.
_LONGEST_ID = 200
#: What a form of the list does to every task that is marked, and what is said of it afterwards.
_LOOKED = "looked"
_NOTHING = "Nothing was marked, so nothing was done."
#: No count of a page of tasks has as many digits.
_MOST_DIGITS = 7


@dataclass(frozen=True, slots=True)
class Narrowed:
    """How a list is narrowed down: the filter, the words as they were given, and what is wrong with them."""

    wanted: TaskFilter
    given: Mapping[str, str]
    problems: tuple[str, ...] = ()
    asked: Mapping[str, str | None] = field(default_factory=dict)


def routes(house: House) -> list[Route]:
    """Return the routes of this room."""
    return [
        page(house, "/tasks", GET=listing),
        page(house, "/tasks/refresh", POST=refresh),
        page(house, "/tasks/redeliver", POST=redeliver),
        page(house, "/find", GET=find),
    ]


async def listing(visit: Visit) -> Response:
    """Show tasks, newest first."""
    narrowed = narrow(visit.request.query_params, list(visit.ports.providers))
    found = [] if narrowed.problems else await visit.ports.store.tasks(narrowed.wanted)
    shown, more = found[:SHOWN], len(found) > SHOWN
    pauses = await visit.ports.store.pauses()
    return visit.render(
        "tasks.html",
        tasks=shown,
        following=cursor_for(shown[-1].key) if more else None,
        narrowed=narrowed,
        query=visit.request.url.query,
        statuses=list(Status),
        providers=list(visit.ports.providers),
        waits={task.id: visit.context.present.waiting_for(task, pauses.get(task.provider)) for task in shown},
        done=_done(visit.request.query_params),
    )


async def refresh(visit: Visit) -> Response:
    """Have every task that was marked looked at now."""
    looked = ended = 0
    for task_id in _marked(visit):
        try:
            await operate.refresh(visit.ports, task_id)
            looked += 1
        except (AlreadyTerminalError, NotFoundError):
            ended += 1
    return _back(visit, **{_LOOKED: str(looked), "ended": str(ended)})


async def redeliver(visit: Visit) -> Response:
    """Have what was to be told of every task that was marked told again, under the same ids."""
    told = 0
    marked = _marked(visit)
    with visit.context.redrives.enter():
        for task_id in marked:
            count, _ = await endpoints.redrive(visit.ports, DeliveryFilter(task_id=task_id))
            told += count
    return _back(visit, told=str(told), of=str(len(marked)))


def _marked(visit: Visit) -> list[UUID]:
    """Return the tasks that were marked; a page has no more of them."""
    found = []
    for text in list(dict.fromkeys(visit.form.getlist("id")))[:SHOWN]:
        try:
            found.append(UUID(text))
        except ValueError:
            continue
    return found


def _back(visit: Visit, **said: str) -> Response:
    """Return to the list as it was narrowed down, and say what was done."""
    back = narrow(QueryParams(visit.form.get("back", "")), list(visit.ports.providers))
    return visit.go("/tasks", **{**back.asked, **said})


async def find(visit: Visit) -> Response:
    """Go to the task that an id belongs to, or show those it may mean."""
    text = visit.request.query_params.get("q", "").strip()
    found = []
    if 0 < len(text) <= _LONGEST_ID and text.isprintable():
        ids = await visit.ports.store.insight.named(text, list(visit.ports.providers))
        found = [task for each in ids if (task := await visit.ports.store.task(each)) is not None]
    if len(found) == 1:
        return visit.go(f"/tasks/{found[0].id}")
    return visit.render("find.html", 200 if found or not text else 404, text=text[:_LONGEST_ID], tasks=found)


def narrow(query: QueryParams, providers: list[str]) -> Narrowed:
    """Read what stands behind the question mark; a field that was left empty is as if it were not there."""
    names = ("status", "provider", "metadata", "after", "before")
    given = {name: query.get(name, "").strip() for name in names}
    problems: list[str] = []
    status = provider = None
    if given["status"]:
        status = next((each for each in Status if each == given["status"]), None)
        if status is None:
            problems.append("There is no such state.")
    if given["provider"]:
        provider = given["provider"] if given["provider"] in providers else None
        if provider is None:
            problems.append("There is no such provider.")
    name, equals, value = given["metadata"].partition("=")
    if given["metadata"] and not (name and equals and given["metadata"].isprintable()):
        problems.append("Metadata is looked for as name=value.")
    after, before = _moment(given["after"], problems), _moment(given["before"], problems)
    try:
        before_key = cursor({"cursor": query["cursor"]}, "cursor") if query.get("cursor") else None
    except ProblemError:
        before_key = None
        problems.append("This page does not exist any more: begin with the newest.")
    wanted = TaskFilter(
        status=status,
        provider=provider,
        created_after=after,
        created_before=before,
        metadata={name: value} if equals and name else {},
        limit=SHOWN + 1,
        before_key=before_key,
    )
    return Narrowed(wanted, given, tuple(problems), {each: words or None for each, words in given.items()})


def _moment(text: str, problems: list[str]) -> datetime | None:
    """Read a moment as a browser's field gives it, in UTC like every time on the pages."""
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        problems.append("A time is written as 2026-11-21T09:30.")
        return None


def _done(query: QueryParams) -> str | None:
    """Return what is said of the form that led here; figures and words of our own alone."""
    counts = [query.get(name, "") for name in (_LOOKED, "ended", "told", "of")]
    looked, ended, told, of = (
        int(each) if each.isascii() and each.isdigit() and len(each) < _MOST_DIGITS else None for each in counts
    )
    if told is not None and of is not None:
        return _told(told, of)
    if looked is None or ended is None:
        return None
    if not looked and not ended:
        return _NOTHING
    left = f"; {ended} had ended already" if ended else ""
    return f"{looked} will be looked at now{left}."


def _told(told: int, of: int) -> str:
    if not of:
        return _NOTHING
    if not told:
        return "There was nothing to tell again: nobody is told of them, not yet, or by a stopped endpoint."
    return f"{counted(told, 'delivery', 'deliveries')} of {counted(of, 'task')} on the way again, under the same ids."
