import base64
import random
import threading
import time
from collections.abc import Callable
from uuid import uuid4

import pytest

from receiver.domain.token import Purpose, SigningKey, TokenSigner
from receiver.web.redaction import _PIECE, Redactor
from tests.web.fakes import World


@pytest.fixture
def redactor(world: World) -> Redactor:
    return Redactor(world.tokens, ("a-long-secret", "short"), world.system.sleep)


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


def test_a_link_to_an_uploaded_file_is_known_by_its_place_as_well(redactor: Redactor) -> None:
    retired = TokenSigner([SigningKey("old", b"o" * 32)], installation=b"i" * 16)
    token = retired.issue(Purpose.INPUT, "input", uuid4(), World().system.now())
    for slash in ("/", "\\/", "%2F", "\\u002f"):
        text = slash.join(["https:", "", "hooks.example.org", "inputs", token])
        assert redactor.text(text) == text.replace(token, "[redacted]")


@pytest.mark.parametrize("backslash", ["\\", "\\\\"])
@pytest.mark.parametrize("kept", [0, 1, 69])
def test_a_token_spelt_with_escapes_is_cut_out_too(
    world: World, redactor: Redactor, backslash: str, kept: int
) -> None:
    token = world.token(uuid4(), provider="aimlapi")
    spelt = token[:kept] + "".join(f"{backslash}u{ord(letter):04X}" for letter in token[kept:])
    harmless = 'ca\\u0066e \\u00e9 \\" \\u0022'
    assert redactor.text(f'{harmless}"{spelt}"{harmless}') == f'{harmless}"[redacted]"{harmless}'


def test_a_url_and_a_secret_with_escaped_letters_are_known_as_well(redactor: Redactor) -> None:
    retired = TokenSigner([SigningKey("old", b"o" * 32)], installation=b"i" * 16)
    token = retired.issue(Purpose.CALLBACK, "runware", uuid4(), World().system.now())
    assert redactor.text(f"callbacks\\u002frunware\\u002F{token}") == "callbacks\\u002frunware\\u002F[redacted]"
    assert redactor.text("x\\u0061a-lon\\u0067-secret\\u0062 x") == "x\\u0061[redacted]\\u0062 x"


@pytest.mark.parametrize("text", ["\\u0041", '"\\u0041"', "a \\u005f\\\\u0041", "\\/\\u0041", "\\u00", "\\u0041QE"])
def test_a_single_escape_is_a_harmless_text(redactor: Redactor, text: str) -> None:
    assert redactor.text(text) is text


def test_escapes_without_a_secret_stay_as_they_are(redactor: Redactor) -> None:
    text = "\\u0041\\u0051E" * 100 + " \\/ \\\\u0041 " + "AQE" * 40 + "\\u0041"
    assert redactor.text(text) is text


@pytest.mark.parametrize("spell", [str, lambda secret: "".join(f"\\u{ord(letter):04x}" for letter in secret)])
@pytest.mark.parametrize("filling", [" ", "A", "a-long-secre", "\\u0061", "\\/"])
def test_what_lies_across_two_pieces_of_a_large_text_is_cut_out_whole(
    world: World, redactor: Redactor, spell: Callable[[str], str], filling: str
) -> None:
    token = world.token(uuid4())
    for secret in (token, "a-long-secret"):
        spelt = spell(secret)
        for inside in {0, 1, len(spelt) // 2, len(spelt) - 1, len(spelt)}:
            fillings, rest = divmod(_PIECE - inside, len(filling))
            start = "." * rest + filling * fillings
            clean = redactor.text(f"{start} {spelt} {filling * 10}")
            assert clean == f"{start} [redacted] {filling * 10}"
            again = redactor.text(f"{start}{spelt}{filling * 40_000}{spelt}")
            assert again == f"{start}[redacted]{filling * 40_000}[redacted]"


def test_a_large_text_is_searched_in_pieces_between_which_others_run(redactor: Redactor) -> None:
    # One search over the whole would hold the interpreter for nearly all of the time; of three rounds one is quiet.
    large = b"x" * 30_000_000
    longest_shares = []
    for _ in range(3):
        naps = []
        searching = threading.Thread(target=redactor.data, args=(large,))
        began = time.monotonic()
        searching.start()
        while searching.is_alive():
            asleep = time.monotonic()
            time.sleep(0.001)
            naps.append(time.monotonic() - asleep)
        longest_shares.append(max(naps) / (time.monotonic() - began))
    assert min(longest_shares) < 0.4


def test_base64_audio_stays_whole(redactor: Redactor) -> None:
    audio = base64.b64encode(random.Random(1).randbytes(3_000_000))
    assert redactor.data(audio) == audio


def test_secrets_are_cut_out_of_names_and_values_at_any_depth(redactor: Redactor) -> None:
    value = {"a": ["a-long-secret!", {"a-long-secret": ("x", 1, None, True)}], "b": "short"}
    assert redactor.value(value) == {"a": ["[redacted]!", {"[redacted]": ["x", 1, None, True]}], "b": "short"}


def test_of_many_strings_only_those_with_a_secret_change(world: World, redactor: Redactor) -> None:
    token = world.token(uuid4())
    value = {"plain": ["a-long-", "secret", "x" * 9, 1.5], token: {"b\\u0061": f"a {token}"}}
    assert redactor.value(value) == {
        "plain": ["a-long-", "secret", "x" * 9, 1.5],
        "[redacted]": {"b\\u0061": "a [redacted]"},
    }


def test_what_holds_no_secret_is_returned_as_it_is(redactor: Redactor) -> None:
    for text in ("", "plain", "ünï", "lone \ud800 surrogate", "AQ", "AQE" * 10):
        assert redactor.text(text) is text


def test_a_text_made_of_lookalikes_does_not_keep_us_busy(world: World, redactor: Redactor) -> None:
    token = world.token(uuid4()).encode()
    hostile = b"AQE" * 1_000_000 + b" " + token
    began = time.process_time()
    clean = redactor.data(hostile)
    assert time.process_time() - began < 10
    assert token not in clean
