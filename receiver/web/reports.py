"""What providers said of a task, verbatim, except that our own tokens and keys are cut out."""

from collections.abc import AsyncIterator
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from receiver.domain.errors import NotFoundError, UnavailableError
from receiver.lifecycle.ports import Objects
from receiver.web import problems
from receiver.web.answers import Reports
from receiver.web.context import Context, answer_json, described, id_of, route
from receiver.web.operations import BYTES, Answer, Operation, answers
from receiver.web.queries import read_query
from receiver.web.redaction import Redactor

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


@described(
    Operation(
        "listTaskReports",
        "reports",
        "What the provider said of a task, without its words",
        {200: answers("The reports, oldest first.", Reports)},
        problems=(problems.NOT_FOUND, problems.INVALID_REQUEST),
    )
)
async def of_task(context: Context, request: Request) -> Response:
    """Answer with the reports of a task without their bodies, oldest first."""
    read_query(request.query_params, ())
    task_id = id_of(request, "id")
    reports = await context.ports.store.reports(task_id)
    if not reports and await context.ports.store.task(task_id) is None:
        raise NotFoundError
    return answer_json({"data": [context.present.report(task_id, report) for report in reports]})


@described(
    Operation(
        "getRawReport",
        "reports",
        "What the provider said, verbatim",
        {
            200: Answer(
                "The bytes as they came, our own tokens and keys cut out.",
                {BYTES: None},
                {"Content-Disposition": "A name to save it under."},
            )
        },
        problems=(problems.NOT_FOUND, problems.INVALID_REQUEST),
    )
)
async def raw(context: Context, request: Request) -> Response:
    """Answer with the body of a report, to be saved and not shown."""
    read_query(request.query_params, ())
    return await saved(context, id_of(request, "id"))


async def saved(context: Context, report_id: UUID) -> Response:
    """Return an answer that a browser saves: the body of a report, our own tokens and keys cut out."""
    report = await context.ports.store.report(report_id)
    if report is None:
        raise NotFoundError
    headers = {**FOREIGN_BYTES, "Content-Disposition": f'attachment; filename="report-{report.id}.bin"'}
    redactor = context.present.redactor
    if report.object_key is not None:
        return _Spooled(context.ports.objects, report.object_key, redactor, headers)
    return Response(redactor.data(report.body), headers=headers, media_type=BYTES)


class _Spooled(StreamingResponse):
    """A large body, out of the object store and searched on its way: it is never whole in memory.

    Its length is not told, for it is not known before what is cut out.
    """

    def __init__(self, objects: Objects, key: str, redactor: Redactor, headers: dict[str, str]) -> None:
        super().__init__(_nothing(), headers=headers, media_type=BYTES)
        self._objects = objects
        self._key = key
        self._redactor = redactor

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with self._objects.stream(self._key) as chunks:
                self.body_iterator = self._redactor.stream(chunks)
                await super().__call__(scope, receive, send)
        except NotFoundError:
            raise UnavailableError("the body of a report is not where it was stored") from None


async def _nothing() -> AsyncIterator[bytes]:
    """Stand in until the object is open."""
    yield b""
