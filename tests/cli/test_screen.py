import json

import pytest
from rich.text import Text

from receiver.cli import screen

ACTED_UPON = {
    "an OSC that sets the title": "\x1b]0;pwned\x07",
    "an OSC that fills the clipboard": "\x1b]52;c;cm0=\x1b\\",
    "colours": "\x1b[31mred\x1b[0m",
    "a C1 control": "\x9b31m",
    "a line that overwrites": "fine\rfake",
    "a second line": "fine\nreceiver: fake",
    "backspaces": "a\x08b",
    "delete": "a\x7fb",
    "right to left": "abc\u202egpj.exe",
    "isolates": "\u2066x\u2069",
    "a mark": "\u200f\u061c",
    "zero width": "a\u200bb\ufeff",
    "tags": "\U000e0041",
    "a line separator": "a\u2028b\u2029c",
    "a lone surrogate": "a\ud800b",
    "a private character": "\ue000",
}


@pytest.mark.parametrize("text", ACTED_UPON.values(), ids=ACTED_UPON)
def test_what_a_terminal_acts_upon_is_written_as_an_escape(text: str) -> None:
    shown = screen.foreign(text).plain
    assert shown.isprintable()
    assert "\\" in shown
    shown.encode("utf-8")


@pytest.mark.parametrize("text", ["Ça va ?", "日本語", "नमस्ते", "🎷", "[bold]x[/bold]", ":smile:", "a\\b", "  two "])
def test_what_a_terminal_only_shows_is_left_alone(text: str) -> None:
    assert screen.foreign(text).plain == text


def test_markup_and_emoji_codes_in_foreign_text_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    screen.line("a ", screen.foreign("[red]b[/red] [link=https://x.example]c[/link] :smile: [/]"))
    assert capsys.readouterr().out == "a [red]b[/red] [link=https://x.example]c[/link] :smile: [/]\n"


def test_a_pipe_gets_lines_of_any_length_without_colour(capsys: pytest.CaptureFixture[str]) -> None:
    screen.line(Text("x" * 500, style="bold red"))
    assert capsys.readouterr().out == "x" * 500 + "\n"


def test_a_pipe_has_no_width() -> None:
    assert screen.width() is None


def test_a_terminal_has_a_width_and_colour(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    screen.line(Text("x", style="red"))
    assert screen.width() == 100
    assert "\x1b[31mx" in capsys.readouterr().out


def test_no_color_is_obeyed_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    screen.line(Text("x", style="red"))
    assert capsys.readouterr().out == "x\n"


def test_a_document_is_one_line_of_ascii_without_controls(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"text": "\x1b]0;x\x07 \x7f \u202e é\n"}
    screen.document(value)
    out = capsys.readouterr().out
    assert out.endswith("\n")
    assert out[:-1].isascii()
    assert out[:-1].isprintable()
    assert json.loads(out) == value
