"""Belongs beside tests/sdk/test_client.py: what the SDK makes of a redirect."""

import httpx
import pytest

from receiver.sdk import UnexpectedAnswerError
from receiver.sdk.connection import _refusal


@pytest.mark.parametrize("status", [300, 301, 304, 307])
def test_a_redirect_without_a_target_is_a_clear_error(status: int) -> None:
    error = _refusal(httpx.Response(status))
    assert isinstance(error, UnexpectedAnswerError)
    assert f"HTTP {status}, a redirect that does not say where to" in str(error)


def test_a_redirect_names_its_target() -> None:
    error = _refusal(httpx.Response(302, headers={"location": "https://other.example/"}))
    assert "redirects to https://other.example/; no key is sent there" in str(error)
