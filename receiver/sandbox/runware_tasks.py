"""Checks one audioInference task against the MiniMax Music Cover page of the Runware docs, field by field."""

import re
from collections.abc import Mapping
from typing import Any

from receiver.sandbox.encode import Encoding, Format
from receiver.sandbox.faults import Faults
from receiver.sandbox.generation import Order, Provider
from receiver.sandbox.runware_words import TASK_TYPE, Words, refused_error
from receiver.sandbox.wire import is_http_url

MODEL = "minimax:music@cover"
DEFAULT_RATE = 22050
_DEFAULT_KILOBITS = 64

_UUID_4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.IGNORECASE)
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_FIELDS = frozenset({
    "taskType", "taskUUID", "model", "positivePrompt", "inputs", "settings", "seed", "numberResults", "outputType",
    "outputFormat", "audioSettings", "deliveryMethod", "webhookURL", "uploadEndpoint", "ttl", "includeCost",
})  # fmt: skip
_OUTPUT_TYPES = ("URL", "base64Data", "dataURI")
_OUTPUT_FORMATS = ("MP3", "WAV", "FLAC")
_DELIVERY_METHODS = ("sync", "async")


class _Task:
    """One task under inspection; every complaint becomes an error in Runware's shape."""

    def __init__(self, task: Mapping[str, Any]) -> None:
        self.task = task
        task_uuid = task.get("taskUUID")
        self.task_uuid = task_uuid if isinstance(task_uuid, str) else None
        self.errors: list[Words] = []

    def complain(self, path: str, problem: str, message: str, **details: object) -> None:
        """Add an error such as invalidPositivePromptLength (Runware docs, errors page)."""
        words = "".join(part[0].upper() + part[1:] for part in path.split("."))
        kind, _, suffix = problem.partition(" ")
        code = f"{kind}{words}{suffix}"
        error = refused_error(code, message, self.task_uuid, parameter=path, taskType=TASK_TYPE, **details)
        self.errors.append(error)

    def get(self, path: str) -> Any:  # noqa: ANN401 - a JSON value on its way to its check
        """Return the value at a dotted path, None when absent."""
        value: Any = self.task
        for part in path.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        return value

    def text(self, path: str, low: int, high: int, *, required: bool = False) -> None:
        """Check a string and its length in characters."""
        value = self.get(path)
        if value is None:
            if required:
                self.complain(path, "missing", f"Missing required parameter '{path}'.", type="string")
        elif not isinstance(value, str):
            self.complain(path, "invalid", f"Invalid value for '{path}'. It must be a string.", type="string")
        elif not low <= len(value) <= high:
            message = f"Invalid length for '{path}'. It must be between {low} and {high} characters."
            self.complain(path, "invalid Length", message, type="string", min=low, max=high)

    def whole(self, path: str, low: int, high: int | None = None) -> None:
        """Check an optional integer and its range."""
        value = self.get(path)
        if value is None:
            return
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        if not is_whole or value < low or (high is not None and value > high):
            limits = f"of {low} or more" if high is None else f"between {low} and {high}"
            message = f"Invalid value for '{path}'. It must be an integer {limits}."
            self.complain(path, "invalid", message, type="integer", min=low, max=high)

    def word(self, path: str, words: tuple[str, ...], *, any_case: bool = False) -> None:
        """Check an optional string against its allowed values."""
        value = self.get(path)
        spelt = value.upper() if any_case and isinstance(value, str) else value
        if value is not None and spelt not in words:
            message = f"Invalid value for '{path}'. It must be one of: {', '.join(words)}."
            self.complain(path, "invalid", message, type="string", allowedValues=list(words))

    def link(self, path: str) -> None:
        """Check an optional http or https URI."""
        value = self.get(path)
        if value is not None and not is_http_url(value):
            self.complain(path, "invalid", f"Invalid value for '{path}'. It must be a valid URI.", type="URI")

    def known(self, path: str, names: frozenset[str]) -> None:
        """Check that an object holds only known fields."""
        value = self.get(path) if path else self.task
        if value is None:
            return
        if not isinstance(value, Mapping):
            self.complain(path, "invalid", f"Invalid value for '{path}'. It must be an object.", type="object")
            return
        for name in value:
            if name not in names:
                full = f"{path}.{name}" if path else name
                message = f"Unsupported parameter '{full}' for model '{MODEL}'."
                error = refused_error("unsupportedParameter", message, self.task_uuid, parameter=full)
                self.errors.append(error)


def check_task(task: Mapping[str, Any], batch: tuple[object, ...], faults: Faults) -> Order | list[Words]:
    """Return the order that a task amounts to, or all that is wrong with it."""
    checked = _Task(task)
    task_uuid = checked.get("taskUUID")
    if task_uuid is None:
        checked.complain("taskUUID", "missing", "Missing required parameter 'taskUUID'.", type="string")
    elif not isinstance(task_uuid, str) or not _UUID_4.fullmatch(task_uuid):
        checked.complain("taskUUID", "invalid", "Invalid value for 'taskUUID'. It must be a UUID v4.", type="UUIDv4")
    model = checked.get("model")
    if model is None:
        checked.complain("model", "missing", "Missing required parameter 'model'.", type="string")
    elif not isinstance(model, str) or (model != MODEL and faults.models == "cover"):
        checked.complain("model", "invalid", f"Invalid value for 'model'. This sandbox has '{MODEL}'.", type="string")
    if model == MODEL:
        _check_cover(checked)
    _check_delivery(checked)
    return checked.errors or _order(checked, batch)


def _check_cover(checked: _Task) -> None:
    """Check what the page of this model says."""
    checked.known("", _FIELDS)
    checked.known("inputs", frozenset({"audio"}))
    checked.known("settings", frozenset({"lyrics"}))
    checked.known("audioSettings", frozenset({"sampleRate", "bitrate"}))
    checked.text("positivePrompt", 10, 300, required=True)
    checked.text("settings.lyrics", 10, 1000)
    checked.whole("seed", 0, 1_000_000)
    audio = checked.get("inputs.audio")
    if not isinstance(checked.get("inputs"), Mapping | None):
        return
    if audio is None:
        checked.complain("inputs.audio", "missing", "Missing required parameter 'inputs.audio'.", type="string")
    elif not (isinstance(audio, str) and (_UUID.fullmatch(audio) or is_http_url(audio))):
        message = "Invalid value for 'inputs.audio'. It must be a UUID or a URL."
        checked.complain("inputs.audio", "invalid", message, type="string")


def _check_delivery(checked: _Task) -> None:
    """Check the platform's options, common to all models."""
    checked.whole("numberResults", 1, 4)
    checked.word("outputType", _OUTPUT_TYPES)
    checked.word("outputFormat", _OUTPUT_FORMATS, any_case=True)
    checked.word("deliveryMethod", _DELIVERY_METHODS)
    checked.link("webhookURL")
    checked.link("uploadEndpoint")
    checked.whole("ttl", 60)
    checked.whole("audioSettings.sampleRate", 8000, 48000)
    checked.whole("audioSettings.bitrate", 32, 320)
    if checked.get("ttl") is not None and checked.get("outputType") in {"base64Data", "dataURI"}:
        message = "Parameter 'ttl' only applies when 'outputType' is 'URL'."
        checked.complain("ttl", "incompatible", message, type="integer")
    if checked.get("audioSettings.bitrate") is not None and str(checked.get("outputFormat")).upper() == "WAV":
        message = "Parameter 'audioSettings.bitrate' does not apply to WAV."
        checked.complain("audioSettings.bitrate", "unsupported", message, type="integer")
    if not isinstance(checked.get("includeCost"), bool | None):
        message = "Invalid value for 'includeCost'. It must be a boolean."
        checked.complain("includeCost", "invalid", message, type="boolean")


def _order(checked: _Task, batch: tuple[object, ...]) -> Order:
    """Return a faultless task as an order."""
    audio_format = Format(str(checked.get("outputFormat") or "MP3").lower())
    return Order(
        provider=Provider.RUNWARE,
        wire=checked.task,
        batch=batch,
        encoding=Encoding(
            format=audio_format,
            rate=checked.get("audioSettings.sampleRate") or DEFAULT_RATE,
            kilobits=checked.get("audioSettings.bitrate") or _DEFAULT_KILOBITS,
        ),
        count=checked.get("numberResults") or 1,
        id=checked.task_uuid,
        seed=checked.get("seed") if isinstance(checked.get("seed"), int) else None,
        inline=checked.get("outputType") in {"base64Data", "dataURI"},
        ttl_seconds=checked.get("ttl"),
        webhook_url=checked.get("webhookURL"),
        upload_url=checked.get("uploadEndpoint"),
        reference=str(checked.get("inputs.audio") or ""),
    )
