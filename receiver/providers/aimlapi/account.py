"""What AIMLAPI says of our account: docs.aimlapi.com, "Account balance"."""

from collections.abc import Mapping
from uuid import UUID

from receiver.domain.errors import UnreadableError
from receiver.domain.exchange import HttpAnswer, HttpRequest
from receiver.lifecycle.ports.provider import Account
from receiver.providers.wire import calls
from receiver.providers.wire.strict_json import mapping, parse
from receiver.providers.wire.values import number

_PATH = "/v1/billing/balance"
#: It lies on a host of its own; behind any other base URL (a sandbox, a gateway) beside the rest.
_API, _BILLING = "https://api.aimlapi.com", "https://billing.aimlapi.com"
#: "Request tracing and cost": a dollar is so many credits.
_CREDITS_OF_A_DOLLAR = 2_000_000


def _ask(options: Mapping[str, str], key: str, new_id: UUID) -> HttpRequest:
    del new_id
    url = calls.endpoint("url", options["url"])
    return calls.json_call("GET", (_BILLING if url == _API else url) + _PATH, key=key)


def _read(answer: HttpAnswer) -> float | None:
    """Return the credits of the key as US dollars."""
    if not calls.succeeded(answer.status):
        return None
    try:
        credits_left = number(mapping(parse(answer.body)).get("balance"))
    except UnreadableError:
        return None
    return None if credits_left is None else credits_left / _CREDITS_OF_A_DOLLAR


ACCOUNT = Account(_ask, _read)
