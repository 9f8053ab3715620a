"""The signed callbacks of the third provider: verified before anything else is made of them."""

import base64
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.providers.third.lark import ENTRY, Lark
from tests.providers.third.server import OTHER_SECRET, SECRET, signature, signed

# The example of standardwebhooks.com's reference libraries.
THEIR_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
THEIR_BODY = b'{"test": 2432232314}'
THEIR_HEADERS = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}
BODY = b'{"id":"sg_0001","status":"done"}'
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
AT = NOW.timestamp()


def lark(secret: str = SECRET) -> Lark:
    options = {option.name: option.default for option in ENTRY.options}
    adapter = ENTRY.build({**options, "webhook_secret": secret}, "a-key")
    assert isinstance(adapter, Lark)
    return adapter


def test_the_example_of_the_standard_is_genuine() -> None:
    then = datetime.fromtimestamp(1614265330, UTC)
    assert lark(THEIR_SECRET).doubts(THEIR_HEADERS, THEIR_BODY, then) is None


def test_one_fitting_signature_among_several_is_enough() -> None:
    assert lark().doubts(signed(BODY, at=AT), BODY, NOW) is None


@pytest.mark.parametrize("seconds", [-300, 0, 300])
def test_a_timestamp_within_the_tolerance_is_taken(seconds: int) -> None:
    assert lark().doubts(signed(BODY, at=AT + seconds), BODY, NOW) is None


@pytest.mark.parametrize("seconds", [-301, 301, -86_400])
def test_a_timestamp_outside_the_tolerance_is_not(seconds: int) -> None:
    assert "timestamp" in (lark().doubts(signed(BODY, at=AT + seconds), BODY, NOW) or "")


@pytest.mark.parametrize("timestamp", ["0", "-1", "1e9", "nan", "99999999999999999999", "\uff11614265330"])
def test_a_timestamp_that_is_no_moment_is_none(timestamp: str) -> None:
    headers = {**signed(BODY, at=AT), "webhook-timestamp": timestamp}
    assert "timestamp" in (lark().doubts(headers, BODY, NOW) or "")


@pytest.mark.parametrize("header", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_each_of_the_three_headers_is_needed_and_vouched_for(header: str) -> None:
    genuine = signed(BODY, at=AT)
    without = {name: value for name, value in genuine.items() if name != header}
    other = {**genuine, header: signed(BODY, at=AT + 1, name="msg_2", secret=OTHER_SECRET)[header]}
    assert lark().doubts(without, BODY, NOW) == "not signed"
    assert lark().doubts(other, BODY, NOW) == "its signature does not fit"


def test_a_signature_vouches_for_these_bytes_in_this_version_alone() -> None:
    genuine = signature(SECRET, BODY, name="msg_1", at=AT)
    for spelling in (
        genuine.replace("v1,", "v1a,"),
        genuine.removeprefix("v1,"),
        genuine[:-1],
        genuine.lower(),
        "v1,",
    ):
        headers = {**signed(BODY, at=AT), "webhook-signature": spelling}
        assert lark().doubts(headers, BODY, NOW) == "its signature does not fit"
    assert lark().doubts(signed(BODY, at=AT), BODY + b" ", NOW) == "its signature does not fit"


@settings(max_examples=200, deadline=None, database=None)
@given(
    st.dictionaries(st.sampled_from(["webhook-id", "webhook-signature"]), st.text(max_size=30)),
    st.sampled_from([str(int(AT)), "", "x"]),
    st.binary(max_size=30),
)
def test_nothing_that_a_stranger_sends_is_genuine_or_an_error(
    headers: dict[str, str], timestamp: str, body: bytes
) -> None:
    """An error at the door would be a fault of ours, which the provider is asked to repeat."""
    assert lark().doubts({**headers, "webhook-timestamp": timestamp}, body, NOW)


def test_without_a_secret_nothing_is_pushed_and_nothing_is_genuine() -> None:
    assert lark().pushes
    assert not lark("").pushes
    assert lark("").doubts(signed(BODY, at=AT), BODY, NOW)


def test_a_secret_of_another_form_is_refused_without_being_shown() -> None:
    bare, short = SECRET.removeprefix("whsec_"), base64.b64encode(b"x" * 23).decode()
    for secret in (bare, f"whsec_{short}", f"whsec_{bare}!", f" {SECRET}", "whsec_\u00e9\u00e9\u00e9"):
        with pytest.raises(ValueError, match="webhook_secret") as refused:
            lark(secret)
        assert secret not in str(refused.value)
    assert "what lark" not in repr(lark())
