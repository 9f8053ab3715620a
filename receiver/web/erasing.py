"""Erasing tasks: one by its id, or all with some metadata."""

from starlette.requests import Request
from starlette.responses import Response

from receiver.lifecycle import erase
from receiver.web import problems
from receiver.web.answers import Erased
from receiver.web.context import Context, answer_json, described, id_of
from receiver.web.operations import Operation, Parameter, answers
from receiver.web.problems import invalid
from receiver.web.queries import metadata_of, read_query


@described(
    Operation(
        "eraseTask",
        "tasks",
        "Erase a task",
        {200: answers("How many were erased.", Erased)},
        problems=(problems.NOT_FOUND, problems.INVALID_REQUEST),
    )
)
async def erase_one(context: Context, request: Request) -> Response:
    """Erase a task; one that is erased already counts as none."""
    read_query(request.query_params, ())
    return _counted(await erase.erase_task(context.ports, id_of(request, "id")))


@described(
    Operation(
        "eraseTasks",
        "tasks",
        "Erase all tasks with some metadata",
        {200: answers("How many were erased.", Erased)},
        (Parameter("metadata.KEY", "The value that the tasks have under this key; several narrow.", required=True),),
        problems=(problems.INVALID_REQUEST,),
    )
)
async def erase_many(context: Context, request: Request) -> Response:
    """Erase all tasks with the metadata named; without any, nothing is erased."""
    metadata = metadata_of(read_query(request.query_params, (), metadata=True))
    if not metadata:
        raise invalid("metadata.KEY", "is required: say which tasks to erase, such as ?metadata.user=42")
    return _counted(await erase.erase_matching(context.ports, metadata))


def _counted(erased: erase.Erased) -> Response:
    return answer_json({"count": erased.count, "more": erased.more})
