from rich.text import Text

from receiver.cli.table import Column, Row, table

COLUMNS = (Column("task"), Column("cost", numbers=True))


def lines(rows: list[Row], width: int | None) -> list[str]:
    return [line.plain for line in table(COLUMNS, rows, long_title="file", width=width)]


def row(task: str, cost: str, long: str | None = None, short: str | None = None) -> Row:
    return Row((Text(task), Text(cost)), None if long is None else Text(long), None if short is None else Text(short))


def test_numbers_stand_right_and_words_left() -> None:
    assert lines([row("a", "$0.15"), row("bcdef", "–")], None) == ["task    cost", "a      $0.15", "bcdef      –"]


def test_a_pipe_gets_the_long_text_in_its_row_however_long() -> None:
    assert lines([row("a", "1", "/x" * 200)], None)[1] == "a        1  " + "/x" * 200


def test_the_long_text_stands_beside_its_row_where_it_fits_exactly() -> None:
    assert lines([row("a", "1", "x" * 10)], 22) == ["task  cost  file", "a        1  xxxxxxxxxx"]


def test_it_stands_below_its_row_one_column_earlier() -> None:
    assert lines([row("a", "1", "x" * 10)], 21) == ["task  cost", "a        1", "  xxxxxxxxxx"]


def test_a_shorter_form_takes_its_place_below() -> None:
    assert lines([row("a", "1", "/folder/" + "x" * 10, "x" * 10), row("b", "2")], 21)[2:] == [
        "  xxxxxxxxxx",
        "b        2",
    ]


def test_gaps_shrink_before_a_row_breaks() -> None:
    assert lines([row("abcdefgh", "1")], 13) == ["task     cost", "abcdefgh    1"]


def test_wide_characters_take_two_columns() -> None:
    assert lines([row("日本", "1"), row("abcd", "2")], None)[1:] == ["日本     1", "abcd     2"]


def test_an_empty_table_is_its_head() -> None:
    assert lines([], None) == ["task  cost"]
