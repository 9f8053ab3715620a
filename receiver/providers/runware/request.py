"""A request in Runware's terms: which values it takes, and the task object that goes on the wire."""

import re
from dataclasses import replace

from receiver.domain.adoption import Adoptable
from receiver.domain.input import PREFIX, named
from receiver.domain.request import Checked, InlineAudio, TaskRequest
from receiver.domain.task import Task
from receiver.providers.wire.checks import Findings
from receiver.providers.wire.options import check_options, merged

# runware.ai/docs, the page of the model "MiniMax Music Cover", for everything in this file.
MODEL = "minimax:music@cover"
_PROMPT = range(10, 301)
_LYRICS = range(10, 1001)
_SEED = range(1_000_001)
_COUNT = range(1, 5)
_FORMATS = ("MP3", "WAV", "FLAC")
_TYPES = ("URL", "base64Data", "dataURI")
_SHORTEST_TTL_SECONDS = 60
#: Ours: no limit is documented. The end of a link is a date, and dates end.
_LONGEST_TTL_SECONDS = 31_536_000
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_EXAMPLE_ID = "6f1c2f0e-6c5f-4a0b-9a55-0d7d3b1c9e01"
#: Every path our own fields can produce in the task object.
_OURS = (
    "taskType",
    "taskUUID",
    "model",
    "positivePrompt",
    "inputs.audio",
    "settings.lyrics",
    "seed",
    "numberResults",
    "outputType",
    "outputFormat",
    "deliveryMethod",
    "webhookURL",
    "uploadEndpoint",
    "ttl",
    "includeCost",
)


def check(request: TaskRequest) -> Checked:
    """Judge a request and fill in Runware's defaults; the model's own limits hold for ``MODEL`` only."""
    findings = Findings()
    request = replace(
        request,
        model=MODEL if request.model is None else request.model,
        count=1 if request.count is None else request.count,
        output_type=findings.spelt("output_type", request.output_type or _TYPES[0], _TYPES),
        include_cost=True if request.include_cost is None else request.include_cost,
    )
    findings.model(request.model or "", MODEL, request.provider_options)
    findings.lacks("Runware", {"sample_rate": request.sample_rate, "bitrate": request.bitrate})
    request = _check_cover(request, findings) if request.model == MODEL else _check_other(request, findings)
    _check_reference(request.reference_audio, findings)
    _check_delivery(request, findings)
    for field, text in (("prompt", request.prompt), ("lyrics", request.lyrics or "")):
        findings.text(field, text)
    check_options(request.provider_options, _OURS, findings)
    return Checked(request, tuple(findings.problems), tuple(findings.warnings))


def adoptable(provider_task_id: str, count: int | None) -> Adoptable:
    """Judge a ``taskUUID`` to adopt; the page asks for version 4, but whatever was taken there can be asked about."""
    findings = Findings()
    if not _UUID.fullmatch(provider_task_id):
        findings.refuse("provider_task_id", "must be the taskUUID of the generation, such as " + _EXAMPLE_ID)
    findings.number("count", count, _COUNT)
    # Spelt one way, so that one generation is not adopted twice.
    return Adoptable(provider_task_id.lower(), count or 1, tuple(findings.problems))


def wire_task(task: Task, *, reference: str, callback_url: str | None) -> dict[str, object]:
    """Return the one task object of a submit; what the request leaves open is left out."""
    request = task.request
    ours: dict[str, object | None] = {
        "taskType": "audioInference",
        "taskUUID": str(task.id),
        "model": task.model,
        "positivePrompt": request.prompt,
        "inputs": {"audio": reference},
        "settings": None if request.lyrics is None else {"lyrics": request.lyrics},
        "seed": request.seed,
        "numberResults": task.expected,
        "outputType": request.output_type,
        "outputFormat": request.output_format,
        "ttl": request.ttl_seconds,
        "includeCost": request.include_cost is not False,
        "uploadEndpoint": request.upload_endpoint,
        # Asynchronous also with a webhook: runware.ai/docs, "Webhooks", allows both, so the task can be polled too.
        "deliveryMethod": "async",
        "webhookURL": callback_url,
    }
    given = {name: value for name, value in ours.items() if value is not None}
    return merged(given, request.provider_options)


def _check_cover(request: TaskRequest, findings: Findings) -> TaskRequest:
    findings.length("prompt", request.prompt, _PROMPT)
    if request.lyrics is not None:
        findings.length("lyrics", request.lyrics, _LYRICS)
    findings.number("count", request.count, _COUNT)
    findings.number("seed", request.seed, _SEED)
    wanted = _FORMATS[0] if request.output_format is None else request.output_format
    return replace(request, output_format=findings.spelt("output_format", wanted, _FORMATS))


def _check_other(request: TaskRequest, findings: Findings) -> TaskRequest:
    """Another model has limits of its own, which Runware will tell; its formats are spelt alike."""
    if request.count is not None and request.count < 1:
        findings.refuse("count", "must be 1 or more")
    if request.output_format is None:
        return request
    findings.text("output_format", request.output_format)
    return replace(request, output_format=request.output_format.upper())


def _check_reference(reference: str | InlineAudio, findings: Findings) -> None:
    field = "reference_audio"
    if isinstance(reference, InlineAudio) or reference.casefold().startswith("data:"):
        findings.refuse(
            field,
            "Runware takes no inline audio: upload the file with POST /v1/inputs and give input:<id>, or a URL",
        )
    elif not reference:
        findings.refuse(field, "is required: the URL of an audio file, or the UUID of one uploaded to Runware")
    elif reference.startswith(PREFIX):
        # The file itself was looked at when it was uploaded; that it is there is found when the task is made.
        if named(reference) is None:
            findings.refuse(field, "must be input: and the id that its upload was answered with")
    elif not _UUID.fullmatch(reference):
        if "://" in reference:
            findings.url(field, reference)
        else:
            findings.refuse(field, "must be an http(s) URL, or the UUID of an audio file uploaded to Runware")


def _check_delivery(request: TaskRequest, findings: Findings) -> None:
    if request.ttl_seconds is not None:
        if request.ttl_seconds < _SHORTEST_TTL_SECONDS:
            findings.refuse(
                "ttl_seconds", f"must be {_SHORTEST_TTL_SECONDS} or more; {request.ttl_seconds} was given"
            )
        elif request.ttl_seconds > _LONGEST_TTL_SECONDS:
            findings.refuse(
                "ttl_seconds",
                f"must be {_LONGEST_TTL_SECONDS:,} (one year) or less; {request.ttl_seconds:,} was given",
            )
        if request.output_type != _TYPES[0]:
            findings.refuse("ttl_seconds", "applies only to output_type URL; leave it out")
    if request.upload_endpoint is not None:
        findings.url("upload_endpoint", request.upload_endpoint)
        if (request.count or 1) > 1:
            findings.warn(
                "upload_endpoint", "all results are uploaded to this one URL, so each overwrites the one before"
            )
