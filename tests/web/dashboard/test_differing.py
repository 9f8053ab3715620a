import pytest

from receiver.web.dashboard.differing import Part, parts


@pytest.mark.parametrize(
    ("reason", "body", "marked"),
    [
        ("unknown form: status half done", '{"status":"half done","x":1}', ['"half done"']),
        ("unknown form: status a; unknown form: status b2", '{"status":"a","also":"b2"}', ['"b2"']),
        ("names another task: 6f1c", '[{"taskUUID":"6f1c"},{"taskUUID":"6f1c"}]', ['"6f1c"', '"6f1c"']),
        ("unreadable: not JSON: Expecting value at character 3", "{a:b", ["b"]),
        ("unreadable: not JSON: Expecting value at character 4", "{a:b", ["b"]),
        ("says nothing about a result, a failure or progress", '{"a":"progress report"}', []),
        ("a link outside the provider's media hosts", '{"a":"b"}', []),
        (None, '{"a":"b"}', []),
    ],
)
def test_the_words_that_a_reason_names_are_marked(reason: str | None, body: str, marked: list[str]) -> None:
    shown = parts(body.encode(), reason)
    assert [part.text for part in shown if part.differs] == marked
    assert "".join(part.text for part in shown) == body


def test_a_byte_that_is_no_text_is_marked_and_spelt_out() -> None:
    shown = parts("é".encode() + b'{"a":"\xff"}', "unreadable: not UTF-8 at byte 8")
    assert [part.text for part in shown if part.differs] == ["\\"]
    assert "".join(part.text for part in shown) == 'é{"a":"\\xff"}'


def test_what_cannot_be_seen_is_spelt_out() -> None:
    [shown] = parts("a\u202eb\u0000c\nd\te\ufeff".encode(), None)
    assert shown == Part("a\\u202eb\\u0000c\nd\te\\ufeff")


def test_an_empty_body_has_one_empty_part() -> None:
    assert parts(b"", "unreadable: not JSON: Expecting value at character 0") == [Part("")]


def test_so_many_places_are_marked_and_no_more() -> None:
    shown = parts(b'"ab"' * 50, "status ab")
    assert sum(part.differs for part in shown) == 20
