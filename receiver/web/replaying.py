"""Having stored reports read again."""

from collections.abc import Mapping
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from receiver.domain.replaying import Outcome
from receiver.lifecycle.ports import RuledFilter
from receiver.lifecycle.replay import Line, replay_reports
from receiver.web import problems
from receiver.web.answers import Replays
from receiver.web.context import Context, answer_json, described, route
from receiver.web.documents import MOST_PROBLEMS
from receiver.web.operations import Body, Operation, answers
from receiver.web.present import dollars
from receiver.web.problems import invalid, invalid_fields
from receiver.web.queries import cursor, cursor_for, moment, read_query
from receiver.web.schemas import problem_of
from receiver.web.taking import taken

#: The request is a few words.
_LARGEST_BODY = 64 * 1024
MOST_REPLAYED = 1000
USUALLY_REPLAYED = 100
#: Each may read a thousand bodies of many megabytes; callbacks are settled by the same process.
MOST_AT_ONCE = 2
_EXAMPLES = {"look": {"provider": "runware"}, "apply": {"since": "2026-11-21T09:30:00Z", "apply": True}}


class Replay(BaseModel):
    """Which reports are read again: those of a task, or of a provider, or since a moment, or both of these."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)

    task_id: str | None = None
    provider: str | None = None
    since: str | None = None
    #: Whether tasks are changed, or only what would change is shown.
    apply: bool = False
    limit: int = Field(USUALLY_REPLAYED, ge=1, le=MOST_REPLAYED)
    cursor: str | None = None


def routes(context: Context) -> list[Route]:
    """Return the routes of this room."""
    return [route(context, "/v1/replay", POST=replay)]


@described(
    Operation(
        "replayReports",
        "reports",
        "Have stored reports read again",
        {200: answers("What each meant before and means now.", Replays)},
        body=Body("Which reports, and whether tasks are to be changed.", Replay, examples=_EXAMPLES),
        problems=(problems.NOT_FOUND, problems.INVALID_REQUEST, problems.TOO_MANY_REPLAYS),
    )
)
async def replay(context: Context, request: Request) -> Response:
    """Read reports again and answer with what each meant before and means now."""
    read_query(request.query_params, ())
    async with taken(context, request, limit=_LARGEST_BODY) as document:
        asked = _read(document)
    wanted = _wanted(context, asked)
    with context.replays.enter():
        lines, following = await replay_reports(context.ports, wanted, apply=asked.apply)
    next_cursor = None if following is None else cursor_for(following)
    return answer_json({"data": [_shown(context, line) for line in lines], "next_cursor": next_cursor})


def _read(document: Mapping[str, object]) -> Replay:
    try:
        return Replay.model_validate({name: value for name, value in document.items() if value is not None})
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)[:MOST_PROBLEMS]
        raise invalid_fields([problem_of(detail, Replay.model_fields, "a replay") for detail in details]) from None


def _wanted(context: Context, asked: Replay) -> RuledFilter:
    given = {name: value for name in ("since", "cursor") if (value := getattr(asked, name)) is not None}
    if asked.task_id is None and asked.provider is None and asked.since is None:
        raise invalid("task_id", "is required, or provider, or since: say which reports to read again")
    if asked.task_id is not None and (asked.provider is not None or asked.since is not None):
        raise invalid("task_id", "stands alone: its reports are all read")
    if asked.provider is not None and asked.provider not in context.ports.providers:
        raise invalid("provider", f"must be one of: {', '.join(sorted(context.ports.providers))}")
    return RuledFilter(
        task_id=None if asked.task_id is None else _task_id(asked.task_id),
        provider=asked.provider,
        since=moment(given, "since"),
        after=cursor(given, "cursor"),
        limit=asked.limit,
    )


def _task_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise invalid("task_id", "must be the id of a task") from None


def _shown(context: Context, line: Line) -> dict[str, object]:
    return {
        "report_id": str(line.report_id),
        "task_id": None if line.task_id is None else str(line.task_id),
        "before": _outcome(context, line.before),
        "after": _outcome(context, line.after),
        "applied": line.applied,
    }


def _outcome(context: Context, outcome: Outcome) -> dict[str, object]:
    return {
        "verdict": outcome.verdict.value,
        # A provider's words may hold a token or a key of ours.
        "reason": context.present.redactor.value(outcome.reason),
        "status": None if outcome.status is None else outcome.status.value,
        "results": outcome.results,
        "cost_usd": dollars(outcome.cost_micros),
    }
