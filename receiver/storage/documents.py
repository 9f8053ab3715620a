"""The parts of a task that are kept as JSON, there and back. Only what is written here is read here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from types import MappingProxyType
from typing import Any, TypeVar

from receiver.domain.errors import ErrorCode, FieldWarning, TaskError
from receiver.domain.request import InlineAudio, TaskRequest

T = TypeVar("T")

_OPTIONAL = tuple(field.name for field in fields(TaskRequest) if field.default is None)


def request_document(request: TaskRequest) -> Mapping[str, object]:
    """Return what was asked for, without the fields that were not given; the provider has a column of its own."""
    audio = request.reference_audio
    document: dict[str, object] = {"prompt": request.prompt, "reference_audio": audio}
    if isinstance(audio, InlineAudio):
        document["reference_audio"] = {"object_key": audio.object_key, "sha256": audio.sha256, "size": audio.size}
    for name in _OPTIONAL:
        value = getattr(request, name)
        if value is not None:
            document[name] = value
    if request.provider_options:
        document["provider_options"] = request.provider_options
    return document


def request_from(provider: str, document: Mapping[str, Any]) -> TaskRequest:
    given = dict(document)
    if not isinstance(given["reference_audio"], str):
        given["reference_audio"] = InlineAudio(**given["reference_audio"])
    if "provider_options" in given:
        given["provider_options"] = MappingProxyType(given["provider_options"])
    return TaskRequest(provider=provider, **given)


def error_document(error: TaskError) -> Mapping[str, object]:
    document: dict[str, object] = {"code": error.code.value, "message": error.message}
    if error.retryable:
        document["retryable"] = True
    if error.provider_code is not None:
        document["provider_code"] = error.provider_code
    return document


def error_from(document: Mapping[str, Any]) -> TaskError:
    return TaskError(
        ErrorCode(document["code"]),
        document["message"],
        retryable=document.get("retryable", False),
        provider_code=document.get("provider_code"),
    )


def warning_document(warning: FieldWarning) -> Mapping[str, object]:
    return {"field": warning.field, "message": warning.message}


def warning_from(document: Mapping[str, Any]) -> FieldWarning:
    return FieldWarning(document["field"], document["message"])


def many_documents(
    values: Sequence[T], write: Callable[[T], Mapping[str, object]]
) -> list[Mapping[str, object]] | None:
    """Return the documents of ``values``; None for none, so that the usual case costs nothing to read."""
    return [write(value) for value in values] if values else None


def many_from(documents: Sequence[Mapping[str, Any]] | None, read: Callable[[Mapping[str, Any]], T]) -> tuple[T, ...]:
    return tuple(read(document) for document in documents) if documents else ()
