"""The request of ``POST /v1/tasks`` as pydantic reads it: strict, and with words a person can act on."""

import difflib
from collections.abc import Iterable, Iterator, Mapping

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from receiver.domain.errors import FieldProblem
from receiver.domain.request import TaskRequest
from receiver.lifecycle.submit import Asked
from receiver.web.documents import MOST_PROBLEMS, shown_name
from receiver.web.problems import invalid_fields

MOST_METADATA = 50
LONGEST_METADATA_KEY = 40
LONGEST_METADATA_VALUE = 500
SHORTEST_DEADLINE_SECONDS = 60
LONGEST_DEADLINE_SECONDS = 7 * 24 * 3600


class NewTask(BaseModel):
    """What a caller may say of a task. Lengths and ranges that differ between providers are judged by theirs."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)

    provider: str = Field(description="`runware` or `aimlapi`.")
    prompt: str = Field(description="10 to 300 characters for Runware, to 2000 for AIMLAPI.")
    reference_audio: str = Field(
        description="A URL, or `input:<id>` of a file uploaded with `POST /v1/inputs`; for Runware also a UUID of "
        "theirs, for AIMLAPI also base64 or a data URI."
    )
    model: str | None = Field(None, description="Null: the provider's music cover.")
    lyrics: str | None = Field(None, description="10 to 1000 characters for Runware, to 3000 for AIMLAPI.")
    count: int | None = Field(None, description="How many results: 1 to 4 for Runware, 1 for AIMLAPI.")
    seed: int | None = Field(None, description="Runware: 0 to 1000000.")
    output_format: str | None = Field(None, description="Runware: MP3, WAV, FLAC; AIMLAPI: mp3, wav, pcm; any case.")
    output_type: str | None = Field(None, description="Runware: URL, base64Data, dataURI; AIMLAPI: URL.")
    sample_rate: int | None = Field(None, description="AIMLAPI: 16000, 24000, 32000 or 44100.")
    bitrate: int | None = Field(None, description="AIMLAPI: 32000, 64000, 128000 or 256000.")
    ttl_seconds: int | None = Field(None, description="Runware, with URL: how long its link lives, at least 60.")
    include_cost: bool | None = Field(None, description="Runware: whether to tell the cost; true when null.")
    upload_endpoint: str | None = Field(None, description="Runware: where it shall also put the audio.")
    notify_url: str | None = Field(
        None,
        description="Where this task is told of; has the origin of an endpoint, whose secret signs.",
    )
    provider_options: dict[str, object] | None = Field(
        None, description="Merged into what the provider is sent; keys that are ours are refused by name."
    )
    #: One that is not null makes the request another one: see ``receiver.web.adopting``.
    provider_task_id: None = None
    metadata: dict[str, str] | None = Field(
        None,
        description=f"Yours, to find the task by: at most {MOST_METADATA} entries, names of 1 to "
        f"{LONGEST_METADATA_KEY} and values of at most {LONGEST_METADATA_VALUE} characters.",
    )
    deadline_seconds: float | None = Field(
        None,
        ge=SHORTEST_DEADLINE_SECONDS,
        le=LONGEST_DEADLINE_SECONDS,
        allow_inf_nan=False,
        description="After this a submitted task is overdue; null: as the service is set.",
    )

    def asked(self) -> Asked:
        """Return the request in the words of the lifecycle."""
        return Asked(
            TaskRequest(
                provider=self.provider,
                prompt=self.prompt,
                reference_audio=self.reference_audio,
                model=self.model,
                lyrics=self.lyrics,
                count=self.count,
                seed=self.seed,
                output_format=self.output_format,
                output_type=self.output_type,
                sample_rate=self.sample_rate,
                bitrate=self.bitrate,
                ttl_seconds=self.ttl_seconds,
                include_cost=self.include_cost,
                upload_endpoint=self.upload_endpoint,
                notify_url=self.notify_url,
                provider_options=self.provider_options or {},
            ),
            metadata=self.metadata or {},
            deadline_seconds=self.deadline_seconds,
        )


FIELDS = frozenset(NewTask.model_fields)

_WORDS = {
    "missing": "is required",
    "string_type": "must be a string",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "dict_type": "must be an object",
}


def read_task(document: Mapping[str, object]) -> Asked:
    """Return what a document asks for. Raises ProblemError naming every field at fault."""
    found = [*metadata_problems(document.get("metadata"))]
    new = None
    try:
        new = NewTask.model_validate(dict(document))
    except ValidationError as error:
        # Cut before it is put into words: to look for a likely spelling takes long.
        details = error.errors(include_url=False, include_input=False)[:MOST_PROBLEMS]
        found += [problem_of(detail) for detail in details]
    if new is None or found:
        raise invalid_fields(found[:MOST_PROBLEMS])
    return new.asked()


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the end of a message about a name that does not exist."""
    near = difflib.get_close_matches(name[:100].lower(), sorted(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def problem_of(detail: ErrorDetails, known: Iterable[str] = FIELDS, what: str = "a task") -> FieldProblem:
    """Return what pydantic found, in words a person can act on."""
    name = shown_name(*detail["loc"]) or "body"
    context = detail.get("ctx", {})
    match detail["type"]:
        case "extra_forbidden":
            return FieldProblem(name, f"is not a field of {what}{did_you_mean(str(detail['loc'][-1]), known)}")
        case "greater_than_equal":
            return FieldProblem(name, f"must be at least {context['ge']:g}")
        case "less_than_equal":
            return FieldProblem(name, f"must be at most {context['le']:g}")
        case kind:
            return FieldProblem(name, _WORDS.get(kind, "has a value of the wrong kind"))


def metadata_problems(metadata: object) -> Iterator[FieldProblem]:
    """Judge lengths and number; that it is flat text is judged with the types."""
    if not isinstance(metadata, dict):
        return
    if len(metadata) > MOST_METADATA:
        yield FieldProblem("metadata", f"has {len(metadata)} entries; at most {MOST_METADATA} are kept")
    for key, value in metadata.items():
        if not 1 <= len(key) <= LONGEST_METADATA_KEY:
            yield FieldProblem(
                shown_name("metadata", key), f"must have a name of 1 to {LONGEST_METADATA_KEY} characters"
            )
        if isinstance(value, str) and len(value) > LONGEST_METADATA_VALUE:
            yield FieldProblem(shown_name("metadata", key), f"must have at most {LONGEST_METADATA_VALUE} characters")
