"""Runware's door: the key, requests turned away as a whole, and answers that get lost.

Sources: Runware docs, authentication and errors pages.
"""

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from receiver.sandbox.refusals import Refusal
from receiver.sandbox.runware_words import TASK_TYPE, Words, refused_error
from receiver.sandbox.spoil import bad_gateway
from receiver.sandbox.wire import json_response

_CODES = {
    200: "insufficientCredits",
    400: "invalidRequest",
    401: "invalidApiKey",
    402: "insufficientCredits",
    403: "permissionDenied",
    404: "modelNotFound",
    408: "requestTimeout",
    429: "rateLimitExceeded",
    500: "internalServerError",
    502: "providerBadGateway",
    503: "serviceUnavailable",
    504: "providerGatewayTimeout",
}


def api_key(request: Request, tasks: list[dict[str, Any]]) -> str:
    """Return the key from the Authorization header, else from an authentication task, else an empty string."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and key.strip():
        return key.strip()
    first = tasks[0]
    return str(first.get("apiKey") or "") if first.get("taskType") == "authentication" else ""


def denied(key: str) -> Words | None:
    """Return the error of a key that is not accepted: none, or the word `invalid`."""
    if not key:
        code, message = "missingApiKey", "Missing API key. Get one at https://my.runware.ai/keys."
    elif key == "invalid":
        code, message = "invalidApiKey", "Invalid API key. Get one at https://my.runware.ai/keys."
    else:
        return None
    return {"code": code, "message": message, "parameter": "apiKey", "taskType": "authentication"}


def turned_away(refusal: Refusal, tasks: list[dict[str, Any]]) -> Response:
    """Return a refusal of the whole POST; one that a test chose names every submitted task (but not for its key)."""
    status, headers = refusal.status, refusal.headers
    if status == 502 and not refusal.chosen:  # noqa: PLR2004 - a gateway speaks HTML
        return Response(bad_gateway(), 502, media_type="text/html")
    code = _CODES.get(status, "unknownError")
    message = f"The request was refused: {code}."
    names = [task.get("taskUUID") for task in tasks if task.get("taskType") == TASK_TYPE]
    if not refusal.chosen or status == 401 or not names:  # noqa: PLR2004 - an authentication error names no task
        return errors_response(status, refused_error(code, message), headers=headers)
    return errors_response(status, *(refused_error(code, message, str(name)) for name in names), headers=headers)


def errors_response(status: int, *errors: Words, headers: Mapping[str, str] | None = None) -> Response:
    """Return an answer that holds errors only."""
    return json_response({"errors": list(errors)}, status, headers=headers)
