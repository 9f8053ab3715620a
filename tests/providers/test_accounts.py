"""What providers are asked about our account, and what is read from what they say."""

import json
from uuid import UUID

import pytest

from receiver.domain.exchange import HttpAnswer
from receiver.providers import PROVIDERS

NEW_ID = UUID("01900000-0000-4000-8000-000000000001")
KEY = "key-of-ours"


def answer(body: bytes, status: int = 200) -> HttpAnswer:
    return HttpAnswer(status, {}, body)


def test_runware_is_asked_for_the_details_of_the_account() -> None:
    account = PROVIDERS["runware"].account
    assert account is not None
    asked = account.ask({"url": "https://api.runware.ai/v1"}, KEY, NEW_ID)
    assert (asked.method, asked.url) == ("POST", "https://api.runware.ai/v1")
    assert asked.headers["Authorization"] == f"Bearer {KEY}"
    [task] = json.loads(asked.body or b"")
    assert task == {"taskType": "accountManagement", "taskUUID": str(NEW_ID), "operation": "getDetails"}


@pytest.mark.parametrize(
    ("url", "asked_at"),
    [
        ("https://api.aimlapi.com", "https://billing.aimlapi.com/v1/billing/balance"),
        ("http://127.0.0.1:9090/aimlapi", "http://127.0.0.1:9090/aimlapi/v1/billing/balance"),
    ],
)
def test_the_key_for_aimlapi_goes_to_its_own_billing_host_only_from_its_own_api(url: str, asked_at: str) -> None:
    account = PROVIDERS["aimlapi"].account
    assert account is not None
    asked = account.ask({"url": url}, KEY, NEW_ID)
    assert (asked.method, asked.url, asked.body) == ("GET", asked_at, None)
    assert asked.headers["Authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    ("provider", "body", "dollars"),
    [
        ("runware", b'{"data":[{"taskType":"accountManagement","balance":126.95}]}', 126.95),
        ("runware", b'{"data":[{"balance":-1}]}', -1.0),
        ("runware", b'{"errors":[{"code":"unsupportedTaskType"}]}', None),
        ("runware", b'{"data":[{"balance":true},{"balance":"7"},[]]}', None),
        ("runware", b'{"data":[{"balance":1e999999}]}', None),
        ("aimlapi", b'{"balance":551564495,"lowBalance":false}', 275.7822475),
        ("aimlapi", b'{"balance":null}', None),
        ("aimlapi", b"[1]", None),
    ],
)
def test_the_balance_is_read_in_dollars_or_is_not_told(provider: str, body: bytes, dollars: float | None) -> None:
    account = PROVIDERS[provider].account
    assert account is not None
    assert account.read(answer(body)) == dollars


@pytest.mark.parametrize("provider", ["runware", "aimlapi"])
@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff", b'{"balance":NaN}', b"[" * 10_000])
def test_what_cannot_be_read_tells_nothing(provider: str, body: bytes) -> None:
    account = PROVIDERS[provider].account
    assert account is not None
    assert account.read(answer(body)) is None


def test_a_refusal_tells_nothing() -> None:
    account = PROVIDERS["aimlapi"].account
    assert account is not None
    assert account.read(answer(b'{"balance":5}', 401)) is None
