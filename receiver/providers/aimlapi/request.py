"""A request in AIMLAPI's terms: which values it takes, and the body that goes on the wire."""

import re
from dataclasses import replace

from receiver.domain.adoption import Adoptable
from receiver.domain.input import PREFIX, named
from receiver.domain.request import Checked, InlineAudio, TaskRequest
from receiver.domain.task import Task
from receiver.providers.wire.checks import Findings
from receiver.providers.wire.options import check_options, merged

# docs.aimlapi.com, the page "music-cover" (POST /v2/generate/audio), for everything in this file but the two figures
# for warnings.
MODEL = "minimax/music-cover"
_PROMPT = range(10, 2001)
_LYRICS = range(10, 3001)
_FORMATS = ("mp3", "wav", "pcm")
_SAMPLE_RATES = (16000, 24000, 32000, 44100)
_BITRATES = (32000, 64000, 128000, 256000)
_TYPE = "URL"
# MiniMax's own page of music-cover, the model behind: what AIMLAPI lets pass may still be refused there.
_PROMPT_UPSTREAM = 300
_LYRICS_UPSTREAM = 1000
_GENERATION_ID = re.compile(r"[A-Za-z0-9_:/.-]{1,128}")
#: Every path our own fields can produce in the body.
_OURS = (
    "model",
    "prompt",
    "reference_audio_url",
    "lyrics",
    "audio_setting.sample_rate",
    "audio_setting.bitrate",
    "audio_setting.format",
)


def check(request: TaskRequest) -> Checked:
    """Judge a request and fill in AIMLAPI's defaults; the model's own limits hold for ``MODEL`` only."""
    findings = Findings()
    if request.count not in {None, 1}:
        findings.refuse("count", "must be 1: AIMLAPI makes one result for each request")
    if request.output_type is not None and request.output_type.casefold() != _TYPE.casefold():
        findings.refuse("output_type", "must be URL: AIMLAPI answers with a link only")
    findings.lacks(
        "AIMLAPI",
        {
            "seed": request.seed,
            "ttl_seconds": request.ttl_seconds,
            "include_cost": request.include_cost,
            "upload_endpoint": request.upload_endpoint,
        },
    )
    request = replace(request, model=MODEL if request.model is None else request.model, count=1, output_type=_TYPE)
    findings.model(request.model or "", MODEL, request.provider_options)
    if request.model == MODEL:
        request = _check_cover(request, findings)
    _check_reference(request.reference_audio, findings)
    texts = {"prompt": request.prompt, "lyrics": request.lyrics, "output_format": request.output_format}
    for field, text in texts.items():
        findings.text(field, text or "")
    check_options(request.provider_options, _OURS, findings)
    return Checked(request, tuple(findings.problems), tuple(findings.warnings))


def adoptable(provider_task_id: str, count: int | None) -> Adoptable:
    """Judge a generation's id to adopt: 21 URL-safe characters today, ``uuid:vendor/model`` in older samples."""
    findings = Findings()
    if not _GENERATION_ID.fullmatch(provider_task_id):
        findings.refuse(
            "provider_task_id", "must be the generation's id: 1 to 128 letters, digits and the characters _ : / . -"
        )
    if count not in {None, 1}:
        findings.refuse("count", "must be 1: AIMLAPI makes one result for each request")
    return Adoptable(provider_task_id, 1, tuple(findings.problems))


def wire_body(task: Task, *, reference: str) -> dict[str, object]:
    """Return the body of a submit; what the request leaves open is left out."""
    request = task.request
    setting: dict[str, object | None] = {
        "sample_rate": request.sample_rate,
        "bitrate": request.bitrate,
        "format": request.output_format,
    }
    ours: dict[str, object | None] = {
        "model": task.model,
        "prompt": request.prompt,
        "reference_audio_url": reference,
        "lyrics": request.lyrics,
        "audio_setting": {name: value for name, value in setting.items() if value is not None} or None,
    }
    given = {name: value for name, value in ours.items() if value is not None}
    return merged(given, request.provider_options)


def _check_cover(request: TaskRequest, findings: Findings) -> TaskRequest:
    findings.length("prompt", request.prompt, _PROMPT)
    if request.lyrics is not None:
        findings.length("lyrics", request.lyrics, _LYRICS)
    _warn_above("prompt", request.prompt, _PROMPT_UPSTREAM, _PROMPT, findings)
    _warn_above("lyrics", request.lyrics or "", _LYRICS_UPSTREAM, _LYRICS, findings)
    findings.one_of("sample_rate", request.sample_rate, _SAMPLE_RATES)
    findings.one_of("bitrate", request.bitrate, _BITRATES)
    wanted = _FORMATS[0] if request.output_format is None else request.output_format
    spelt = findings.spelt("output_format", wanted, _FORMATS)
    # The page's defaults, said aloud: headerless PCM can be played only by who knows its rate. A bitrate belongs to
    # compressed audio, so none is made up for the other formats.
    bitrate = _BITRATES[-1] if request.bitrate is None and spelt == _FORMATS[0] else request.bitrate
    sample_rate = _SAMPLE_RATES[-1] if request.sample_rate is None else request.sample_rate
    return replace(request, output_format=spelt, bitrate=bitrate, sample_rate=sample_rate)


def _warn_above(field: str, text: str, upstream: int, accepted: range, findings: Findings) -> None:
    if upstream < len(text) and len(text) in accepted:
        findings.warn(
            field,
            f"the model behind AIMLAPI takes up to {upstream:,} characters; these {len(text):,} are sent as they "
            "are and may be refused there",
        )


def _check_reference(reference: str | InlineAudio, findings: Findings) -> None:
    field = "reference_audio"
    if isinstance(reference, InlineAudio):
        return
    if not reference:
        findings.refuse(field, "is required: the URL of an audio file, or the audio itself as base64 or data URI")
    elif reference.startswith(PREFIX):
        # The file itself was looked at when it was uploaded; that it is there is found when the task is made.
        if named(reference) is None:
            findings.refuse(field, "must be input: and the id that its upload was answered with")
    elif "://" in reference:
        findings.url(field, reference)
    else:
        findings.refuse(field, "must be an http(s) URL, or audio as base64 or data URI")
