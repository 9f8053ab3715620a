"""The words of Runware's answers: items, errors, acknowledgements and callback bodies.

Sources: Runware docs, audio inference, task polling, errors and webhooks pages. Where official statements disagree
(a callback wrapped or bare, the form of a failure's callback, status words) a switch of the faults decides.
"""

import base64
from typing import Any, TypeAlias

from receiver.sandbox.encode import MEDIA_TYPES
from receiver.sandbox.faults import Faults
from receiver.sandbox.generation import PRICE_USD, Failure, Generation, Provider, Result, Status
from receiver.sandbox.state import State
from receiver.sandbox.wire import encode_json

# One JSON object on its way out; it is only ever filled and encoded.
Words: TypeAlias = dict[str, Any]

TASK_TYPE = "audioInference"
_DOCUMENTATION = "https://runware.ai/docs/en/audio-inference/api-reference"
_DRIFTED_SUCCESS = ("success", "completed", None)
_DRIFTED_PROCESSING = ("processing", "pending", "queued")


def identity(generation: Generation) -> Words:
    """Return the two fields that every item carries; alone, they acknowledge an asynchronous submit."""
    return {"taskType": TASK_TYPE, "taskUUID": generation.id}


async def success_item(state: State, generation: Generation, result: Result, *, polled: bool) -> Words:
    """Return the item of a finished result; only polled items carry a status (drift: any may)."""
    faults = state.faults_for(Provider.RUNWARE)
    item = identity(generation)
    drifts = faults.status_words == "drift"
    status = generation.chance.pick(_DRIFTED_SUCCESS, "success word", result.index) if drifts else "success"
    if status is not None and (polled or drifts):
        item["status"] = status
    item["audioUUID"] = result.id
    item |= await _audio(state, generation, result)
    if generation.order.wire.get("includeCost") is True:
        item["cost"] = PRICE_USD
    item["seed"] = result.seed
    return item | _extra(faults)


async def _audio(state: State, generation: Generation, result: Result) -> Words:
    """Return the field that holds or leads to the audio, by outputType."""
    if result.artifact is not None and result.artifact.url is not None:
        return {"audioURL": result.artifact.url}
    audio = await state.studio.render(result.recipe, result.encoding)
    coded = base64.b64encode(audio).decode()
    if generation.order.wire.get("outputType") == "dataURI":
        return {"audioDataURI": f"data:{MEDIA_TYPES[result.encoding.format]};base64,{coded}"}
    return {"audioBase64Data": coded}


def processing_item(generation: Generation, result: Result, faults: Faults) -> Words:
    """Return the item of a result that is not finished."""
    drifts = faults.status_words == "drift"
    status = generation.chance.pick(_DRIFTED_PROCESSING, "waiting word", result.index) if drifts else "processing"
    return identity(generation) | {"status": status} | _extra(faults)


def failure_error(generation: Generation, failure: Failure, faults: Faults) -> Words:
    """Return the error of a result that failed at the provider; those of one task may be equal byte for byte."""
    error: Words = {
        "code": failure.code,
        "status": "error",
        "message": failure.message,
        "documentation": _DOCUMENTATION,
        "taskUUID": generation.id,
    }
    if faults.extra_fields:
        error |= {"responseContent": "upstream said no", "responseStatusCode": "audio_generation_failed"}
    return error


def refused_error(code: str, message: str, task_uuid: str | None = None, **details: object) -> Words:
    """Return the error of a request or task that was refused; `details` are parameter, type, min, max and so on."""
    error: Words = {"code": code, "message": message}
    error |= {name: detail for name, detail in details.items() if detail is not None}
    if "parameter" in error:
        anchor = str(error["parameter"]).replace(".", "-").lower()
        error["documentation"] = f"{_DOCUMENTATION}#request-{anchor}"
    if task_uuid is not None:
        error["taskUUID"] = task_uuid
    return error


async def current_words(state: State, generation: Generation, *, polled: bool) -> tuple[list[Words], list[Words]]:
    """Return the data and the errors of a generation as it stands: finished, waiting and failed results."""
    faults = state.faults_for(Provider.RUNWARE)
    data: list[Words] = []
    errors: list[Words] = []
    for result in generation.results:
        if result.status is Status.SUCCESS:
            data.append(await success_item(state, generation, result, polled=polled))
        elif result.failure is None:
            data.append(processing_item(generation, result, faults))
        elif polled and faults.status_words == "drift" and generation.chance.hits(0.5, "error in data", result.index):
            detail = {"code": result.failure.code, "message": result.failure.message}
            data.append(identity(generation) | {"status": "error", "error": detail})
        else:
            errors.append(failure_error(generation, result.failure, faults))
    return data, errors


async def callback_body(state: State, generation: Generation, result: Result) -> bytes:
    """Return the body of a result's callback in the form that the faults ask for."""
    faults = state.faults_for(Provider.RUNWARE)
    if result.failure is not None:
        return encode_json(_failure_callback(generation, result.failure, faults))
    item = await success_item(state, generation, result, polled=False)
    return encode_json(item if faults.body == "flat" else {"data": [item]})


def _failure_callback(generation: Generation, failure: Failure, faults: Faults) -> Words:
    """Return the callback of a failure; no page shows it, so all three forms seen in users' receivers exist."""
    error = failure_error(generation, failure, faults)
    match faults.error_body:
        case "flat":
            return identity(generation) | {"status": "error", "code": failure.code, "message": failure.message}
        case "error":
            return {"error": {"code": failure.code, "message": failure.message}} | identity(generation)
        case _:
            return {"errors": [error]}


def processing_body(generation: Generation, faults: Faults) -> bytes:
    """Return the body of a callback that reports nothing but progress."""
    item = processing_item(generation, generation.results[0], faults)
    return encode_json(item if faults.body == "flat" else {"data": [item]})


def _extra(faults: Faults) -> Words:
    """Return fields that no page mentions, when asked for."""
    return {"audioDuration": 7.5, "nsfwContent": False, "pipeline": {"version": 3}} if faults.extra_fields else {}
