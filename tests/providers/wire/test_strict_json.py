import json
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from receiver.domain.errors import UnreadableError
from receiver.providers.wire.strict_json import (
    DEEPEST,
    MOST_BRACKETS_AND_COMMAS,
    MOST_CHARACTERS,
    dump,
    integer,
    parse,
)


def test_fractions_are_read_digit_for_digit() -> None:
    assert parse(b'{"cost":0.1500000000000000000001}') == {"cost": Decimal("0.1500000000000000000001")}


@pytest.mark.parametrize(
    "body",
    [
        b"NaN",
        b"[Infinity]",
        b"[-Infinity]",
        b'"\\u0000"',
        b'{"\\u0000":1}',
        b'"\\udc00"',
        b'{"\\ud800":1}',
        b'"\x00"',
        b"\xff",
        b"\xef\xbb\xbf{}",
        b"",
        b"{'a':1}",
        b"[1,]",
        b"{}{}",
        b"{} x",
        b"[1]\xc2\xa0",
        b"\x0b{}",
        b"9223372036854775808",
        b"-9223372036854775809",
        b"1" * 5000,
        b"0." + b"1" * 5000,
        b"1e99999999999999999999",
        b"[" * 100_000,
        b"[" * (DEEPEST + 1) + b"]" * (DEEPEST + 1),
        b'{"a":' * (DEEPEST + 1) + b"1" + b"}" * (DEEPEST + 1),
    ],
    ids=lambda body: repr(body[:24]),
)
def test_what_is_not_strict_json_of_reasonable_size_is_unreadable(body: bytes) -> None:
    with pytest.raises(UnreadableError):
        parse(body)


@pytest.mark.parametrize(
    "body",
    [
        b"9223372036854775807",
        b"-9223372036854775808",
        b'"\\ud83c\\udfb5"',
        '"\u00fc\U0001f3b5"'.encode(),
        b" {} ",
        b"\r\n[]",
        b"{}\n\t",
    ],
)
def test_what_only_looks_unusual_is_read(body: bytes) -> None:
    assert parse(body) == json.loads(body)


def test_brackets_and_commas_are_counted_before_anything_is_parsed() -> None:
    assert parse(b"[" + b"1," * (MOST_BRACKETS_AND_COMMAS - 1) + b"1]")
    with pytest.raises(UnreadableError, match="brackets and commas"):
        parse(b"[" + b"1," * MOST_BRACKETS_AND_COMMAS + b"1]")


def test_only_strings_known_to_be_inline_audio_may_be_long() -> None:
    long = "A" * (MOST_CHARACTERS + 1)
    body = json.dumps({"audio": long}).encode()
    assert parse(body, inline=frozenset({"audio"})) == {"audio": long}
    for value in ({"message": long}, {long: 1}, [{"audio": [long]}]):
        with pytest.raises(UnreadableError, match="characters"):
            parse(json.dumps(value).encode(), inline=frozenset({"audio"}))


def test_the_error_does_not_carry_the_document() -> None:
    with pytest.raises(UnreadableError) as error:
        parse(b'{"secret":"s3cret"')
    assert error.value.__cause__ is None
    assert error.value.__suppress_context__
    assert "s3cret" not in str(error.value)


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (41, 41),
        (Decimal("41.0"), 41),
        (Decimal("4.1E1"), 41),
        (Decimal("41.5"), None),
        (Decimal("1E999999"), None),
        (True, None),
        ("41", None),
        (None, None),
    ],
)
def test_a_whole_number_counts_however_it_is_written(value: object, number: int | None) -> None:
    assert integer(value) == number


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.decimals(allow_nan=False, allow_infinity=False, places=12)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text('abc\u00fc"\\'), inner),
    max_leaves=10,
)


@settings(max_examples=50, deadline=None, database=None)
@given(JSON)
def test_what_is_dumped_is_read_again_as_the_same_value(value: object) -> None:
    assert parse(dump(value)) == value
