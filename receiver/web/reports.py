"""What providers said of a task, verbatim, except that our own tokens and keys are cut out."""

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from receiver.domain.errors import NotFoundError, UnavailableError
from receiver.web import problems
from receiver.web.bodies import NoRoomError
from receiver.web.context import Context, answer_json, id_of, route
from receiver.web.problems import ProblemError
from receiver.web.queries import read_query

#: Up to this many bytes are searched for secrets where they are; more would hold up everybody else.
_SEARCHED_AT_ONCE = 1024 * 1024
#: For bytes that we did not make: no guessing, no script, no use by other sites.
FOREIGN_BYTES = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def routes(context: Context) -> list[Route]:
    """Return the routes of this room."""
    return [
        route(context, "/v1/tasks/{id}/reports", GET=of_task),
        route(context, "/v1/reports/{id}/raw", GET=raw),
    ]


async def of_task(context: Context, request: Request) -> Response:
    """Answer with the reports of a task without their bodies, oldest first."""
    read_query(request.query_params, ())
    task_id = id_of(request, "id")
    reports = await context.ports.store.reports(task_id)
    if not reports and await context.ports.store.task(task_id) is None:
        raise NotFoundError
    return answer_json({"data": [context.present.report(task_id, report) for report in reports]})


async def raw(context: Context, request: Request) -> Response:
    """Answer with the body of a report, to be saved and not shown."""
    read_query(request.query_params, ())
    report = await context.ports.store.report(id_of(request, "id"))
    if report is None:
        raise NotFoundError
    with context.room.share() as share:
        try:
            share.grow_to(report.size)
        except NoRoomError:
            raise ProblemError(problems.UNAVAILABLE, headers=problems.LATER) from None
        body = report.body
        if report.object_key is not None:
            try:
                body = await context.ports.objects.read(report.object_key)
            except NotFoundError:
                raise UnavailableError("the body of a report is not where it was stored") from None
        headers = {**FOREIGN_BYTES, "Content-Disposition": f'attachment; filename="report-{report.id}.bin"'}
        redact = context.present.redactor.data
        clean = redact(body) if len(body) <= _SEARCHED_AT_ONCE else await to_thread.run_sync(redact, body)
        return Response(clean, headers=headers, media_type="application/octet-stream")
