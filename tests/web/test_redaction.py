import base64
import random
import time
from uuid import uuid4

import pytest

from receiver.domain.token import Purpose, SigningKey, TokenSigner
from receiver.web.redaction import Redactor
from tests.web.fakes import World


@pytest.fixture
def redactor(world: World) -> Redactor:
    return Redactor(world.tokens, ("runware", "aimlapi"), ("a-long-secret", "short"))


@pytest.mark.parametrize(
    "around", ["{}", "x{}", "{}x", "https%3A%2F%2Fh%2Fcallbacks%2Frunware%2F{}", "AQE{}AQE", '"{}"']
)
def test_a_token_is_cut_out_wherever_it_stands(world: World, redactor: Redactor, around: str) -> None:
    token = world.token(uuid4(), provider="aimlapi")
    assert redactor.text(around.format(token)) == around.format("[redacted]")


def test_a_token_of_a_key_we_no_longer_have_is_known_by_its_place(redactor: Redactor) -> None:
    retired = TokenSigner([SigningKey("old", b"o" * 32)], installation=b"i" * 16)
    token = retired.issue(Purpose.CALLBACK, "runware", uuid4(), World().system.now())
    for slash in ("/", "\\/", "%2F"):
        text = slash.join(["x", "callbacks", "runware", token])
        assert redactor.text(text) == text.replace(token, "[redacted]")


def test_base64_audio_stays_whole(redactor: Redactor) -> None:
    audio = base64.b64encode(random.Random(1).randbytes(3_000_000))
    assert redactor.data(audio) == audio


def test_secrets_are_cut_out_of_names_and_values_at_any_depth(redactor: Redactor) -> None:
    value = {"a": ["a-long-secret!", {"a-long-secret": ("x", 1, None, True)}], "b": "short"}
    assert redactor.value(value) == {"a": ["[redacted]!", {"[redacted]": ["x", 1, None, True]}], "b": "short"}


def test_what_holds_no_secret_is_returned_as_it_is(redactor: Redactor) -> None:
    for text in ("", "plain", "ünï", "lone \ud800 surrogate", "AQ", "AQE" * 10):
        assert redactor.text(text) is text


def test_a_text_made_of_lookalikes_does_not_keep_us_busy(world: World, redactor: Redactor) -> None:
    token = world.token(uuid4()).encode()
    hostile = b"AQE" * 1_000_000 + b" " + token
    began = time.monotonic()
    clean = redactor.data(hostile)
    assert time.monotonic() - began < 10
    assert token not in clean
