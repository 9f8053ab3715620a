"""The request of ``POST /v1/tasks`` that adopts a generation which was started elsewhere."""

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from receiver.domain.errors import FieldProblem
from receiver.lifecycle.adopt import Adoption
from receiver.web.documents import MOST_PROBLEMS
from receiver.web.problems import invalid_fields
from receiver.web.schemas import (
    FIELDS,
    LONGEST_DEADLINE_SECONDS,
    SHORTEST_DEADLINE_SECONDS,
    metadata_problems,
    problem_of,
)

#: A request with this field, and not null, adopts.
ADOPTS = "provider_task_id"


class AdoptedTask(BaseModel):
    """What a caller may say of a generation that is there already: which one it is, and what is ours."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)

    provider: str
    provider_task_id: str
    count: int | None = None
    notify_url: str | None = None
    metadata: dict[str, str] | None = None
    deadline_seconds: float | None = Field(
        None, ge=SHORTEST_DEADLINE_SECONDS, le=LONGEST_DEADLINE_SECONDS, allow_inf_nan=False
    )


def read_adoption(document: Mapping[str, object]) -> Adoption:
    """Return what a document asks to adopt. Raises ProblemError naming every field at fault."""
    # Null means not given, as everywhere; any other field would ask for something that is decided already.
    given = {name: value for name, value in document.items() if value is not None}
    odd = [name for name in FIELDS - AdoptedTask.model_fields.keys() if name in given]
    found = [FieldProblem(name, f"does not go with {ADOPTS}") for name in sorted(odd)]
    found += metadata_problems(given.get("metadata"))
    new = None
    try:
        new = AdoptedTask.model_validate({name: value for name, value in given.items() if name not in odd})
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)[:MOST_PROBLEMS]
        found += [problem_of(detail) for detail in details]
    if new is None or found:
        raise invalid_fields(found[:MOST_PROBLEMS])
    return Adoption(
        new.provider, new.provider_task_id, new.count, new.metadata or {}, new.deadline_seconds, new.notify_url
    )
