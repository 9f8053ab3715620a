"""What Runware says of our account: runware.ai/docs, "Account management"."""

from collections.abc import Mapping
from uuid import UUID

from receiver.domain.errors import UnreadableError
from receiver.domain.exchange import HttpAnswer, HttpRequest
from receiver.lifecycle.ports.provider import Account
from receiver.providers.wire import calls
from receiver.providers.wire.strict_json import mapping, parse, sequence
from receiver.providers.wire.values import number


def _ask(options: Mapping[str, str], key: str, new_id: UUID) -> HttpRequest:
    payload = [{"taskType": "accountManagement", "taskUUID": str(new_id), "operation": "getDetails"}]
    return calls.json_call("POST", calls.endpoint("url", options["url"]), key=key, payload=payload)


def _read(answer: HttpAnswer) -> float | None:
    """Return the balance, which is in US dollars like every price there; what else it tells is left alone."""
    try:
        document = mapping(parse(answer.body))
    except UnreadableError:
        return None
    for item in sequence(document.get("data")):
        balance = number(mapping(item).get("balance"))
        if balance is not None:
            return balance
    return None


ACCOUNT = Account(_ask, _read)
