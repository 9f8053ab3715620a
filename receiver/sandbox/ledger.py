"""The ground truth as JSON: every accepted generation, what became of it, what was sent and asked about it."""

import base64
from collections import Counter
from datetime import datetime

from receiver.sandbox.courier import is_confirmed
from receiver.sandbox.generation import Attempt, Generation, Provider, Result, Status, Upload
from receiver.sandbox.state import State
from receiver.sandbox.wire import encode_json


def accepted_generations(state: State) -> list[Generation]:
    """Return every accepted generation in the order of acceptance."""
    accepted = [generation for known in state.generations.values() for generation in known.values()]
    return sorted(accepted, key=lambda generation: generation.accepted_clock)


def ledger_body(accepted: list[Generation]) -> bytes:
    """Return `{"tasks": […]}` as JSON. Bytes and hashes are of the decoded audio."""
    return encode_json({"tasks": [_task(generation) for generation in accepted]})


def counts_document(accepted: list[Generation]) -> dict[str, object]:
    """Return how many generations there are by provider and status, and how many callbacks were sent and confirmed.

    Stalled ones are counted apart from those still processing: they never end.
    """
    counts: dict[str, Counter[str]] = {
        provider.value: Counter(dict.fromkeys((*Status, "stalled", "callbacks", "confirmed"), 0))
        for provider in Provider
    }
    for generation in accepted:
        count = counts[generation.order.provider.value]
        count["stalled" if _is_stalled(generation) else generation.status.value] += 1
        count["callbacks"] += len(generation.callbacks)
        count["confirmed"] += sum(is_confirmed(attempt.status_code) for attempt in generation.callbacks)
    return {"accepted": len(accepted), **counts}


def _is_stalled(generation: Generation) -> bool:
    return any(result.stalls for result in generation.results)


def _task(generation: Generation) -> dict[str, object]:
    order = generation.order
    return {
        "provider": order.provider.value,
        "provider_task_id": generation.id,
        "ordinal": generation.chance.ordinal,
        "client_request_id": order.client_request_id,
        "webhook_url": order.webhook_url,
        "upload_url": order.upload_url,
        "count": order.count,
        "reference_audio": order.reference,
        "accepted_at": _iso(generation.accepted_at),
        "billed_usd": generation.billed_usd,
        "status": generation.status.value,
        "stalled": _is_stalled(generation),
        "results": [_result(result) for result in generation.results if result.artifact is not None],
        "errors": [
            {"index": result.index, "code": result.failure.code, "message": result.failure.message}
            for result in generation.results
            if result.failure is not None
        ],
        "callbacks": [_attempt(attempt) for attempt in generation.callbacks],
        "uploads": [_upload(upload) for upload in generation.uploads],
        "polls": generation.polls,
        "looks": generation.looks,
        "submits": generation.submits,
    }


def _result(result: Result) -> dict[str, object]:
    artifact = result.artifact
    if artifact is None:
        return {}
    return {
        "id": result.id,
        "index": result.index,
        "url": artifact.url,
        "url_expires_at": None if artifact.url_expires_at is None else _iso(artifact.url_expires_at),
        "bytes": artifact.bytes,
        "sha256": artifact.sha256,
        "seed": result.seed,
        "format": result.encoding.format.value,
        "duration_seconds": result.recipe.seconds,
        "finished_at": _iso(artifact.finished_at),
    }


def _attempt(attempt: Attempt) -> dict[str, object]:
    """Return one call of one callback, its body as sent; bytes that are no UTF-8 also come as base64."""
    body = attempt.body.decode("utf-8", "replace")
    line: dict[str, object] = {
        "sent_at": _iso(attempt.sent_at),
        "attempt": attempt.attempt,
        "copy": attempt.copy,
        "result_id": attempt.result_id,
        "status_code": attempt.status_code,
        "error": attempt.error,
        "body": body,
    }
    if body.encode() != attempt.body:
        line["body_base64"] = base64.b64encode(attempt.body).decode()
    return line


def _upload(upload: Upload) -> dict[str, object]:
    return {
        "sent_at": _iso(upload.sent_at),
        "result_id": upload.result_id,
        "status_code": upload.status_code,
        "error": upload.error,
        "bytes": upload.bytes,
    }


def _iso(instant: datetime) -> str:
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")
