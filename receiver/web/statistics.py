"""Figures about all tasks, by provider and model."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from receiver.domain.learning import Learned
from receiver.domain.statistics import Statistics
from receiver.web import problems
from receiver.web.answers import AnyMoment
from receiver.web.answers import Statistics as Shape
from receiver.web.context import Context, answer_json, described, route
from receiver.web.operations import Operation, Parameter, answers
from receiver.web.present import dollars, time
from receiver.web.queries import moment, read_query


def routes(context: Context) -> list[Route]:
    """Return the routes of this room."""
    return [route(context, "/v1/stats", GET=stats)]


@described(
    Operation(
        "getStatistics",
        "numbers",
        "Figures about all tasks",
        {200: answers("By provider and model.", Shape)},
        (Parameter("since", "Of tasks that ended, only those since this moment.", AnyMoment),),
        problems=(problems.INVALID_REQUEST,),
    )
)
async def stats(context: Context, request: Request) -> Response:
    """Answer with the figures of tasks under way and of those that ended, with ``since`` from that moment on."""
    since = moment(read_query(request.query_params, ("since",)), "since")
    found = await context.ports.store.statistics(since)
    learned = context.ports.schedules.learned
    shown = [_shown(figures, learned.get((figures.provider, figures.model))) for figures in found]
    return answer_json({"data": shown, "since": time(since)})


def _shown(figures: Statistics, learned: Learned | None) -> dict[str, object]:
    return {
        "provider": figures.provider,
        "model": figures.model or None,
        "tasks": figures.tasks,
        "statuses": {status.value: count for status, count in figures.counts.items()},
        "seconds": {"p50": figures.seconds_p50, "p99": figures.seconds_p99},
        "callback_miss_rate": figures.miss_rate,
        "polls_per_task": figures.polls_per_task,
        "cost_usd": dollars(figures.cost_micros),
        "looks": None
        if learned is None
        else {
            "tasks": learned.tasks,
            "first_look_seconds": learned.ages[0],
            "nearly_all_seconds": learned.nearly_all,
        },
    }
