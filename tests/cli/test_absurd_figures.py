"""A service that names figures nobody measured: every command says what it can, or one line, and never fails over."""

import json
from collections.abc import Callable

import pytest

from tests.cli.conftest import Said
from tests.cli.fake_service import RESULT_ID, TASK_ID, Answer, FakeService, result, succeeded, task

Typed = Callable[..., Said]
TASK = f"/v1/tasks/{TASK_ID}"
#: As they stand in JSON, or in what Python takes for JSON.
FIGURES = ("NaN", "Infinity", "-Infinity", "1e999", "1e308", "-1e308", "9" * 400, "-" + "9" * 400, "-1", "1e-320")
#: The same, in a document that is made in Python: written there as a word, then replaced.
PLACE = "*FIGURE*"
EARLIEST, LATEST = "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"


def with_figure(document: object, figure: str) -> bytes:
    return json.dumps(document).replace(f'"{PLACE}"', figure).encode()


def spoken(*figures: str) -> bool:
    """No traceback, no name of an error, no "unexpected"."""
    return not any(word in text for text in figures for word in ("Traceback", "Error", "unexpected went wrong"))


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure[:12])
def test_figures_of_a_request_and_of_events_are_shown_whatever_they_are(
    receiver: Typed, here: FakeService, figure: str
) -> None:
    request = {"count": PLACE, "deadline_seconds": PLACE, "ttl_seconds": PLACE, "sample_rate": PLACE, "x": [PLACE]}
    names = ("seconds", "duration_seconds", "bytes", "count", "failed", "stored", "expected", "a")
    data = dict.fromkeys(names, PLACE)
    event = {"id": 1, "task_id": TASK_ID, "seq": 1, "type": "result.stored", "at": LATEST, "data": data}
    shown = succeeded(request=request, metadata={"a": PLACE})
    here.says("GET", TASK, Answer(200, with_figure(shown, figure)))
    here.says("GET", f"{TASK}/events", Answer(200, with_figure({"data": [event]}, figure)))
    here.says("GET", "/v1/tasks", Answer(200, with_figure({"data": [shown], "next_cursor": None}, figure)))
    for said in (receiver("task", TASK_ID), receiver("tasks"), receiver("task", TASK_ID, "--json")):
        assert said.code == 0, said.err
        assert spoken(said.out, said.err)
        assert TASK_ID in said.out


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure[:12])
@pytest.mark.parametrize("place", ["cost_usd", "seed", "bytes", "duration_seconds", "callbacks"])
def test_figures_we_calculate_with_are_said_or_refused_in_a_line(
    receiver: Typed, here: FakeService, place: str, figure: str
) -> None:
    one = result(cost_usd=PLACE if place == "cost_usd" else 0.15, seed=PLACE if place == "seed" else 41)
    if place in {"bytes", "duration_seconds"}:
        one["artifact"][place] = PLACE
    shown = succeeded(results=[one], callbacks=PLACE if place == "callbacks" else 1)
    here.says("GET", TASK, Answer(200, with_figure(shown, figure)))
    here.says("GET", f"{TASK}/events", Answer(200, {"data": []}))
    here.says("GET", "/v1/tasks", Answer(200, with_figure({"data": [shown], "next_cursor": None}, figure)))
    for said in (receiver("task", TASK_ID), receiver("tasks"), receiver("submit", "runware", "--prompt", "a" * 12)):
        assert said.code in {0, 1, 2}
        assert spoken(said.out, said.err)
        assert said.code == 0 or said.err.startswith("receiver: ")


@pytest.mark.parametrize("moment", [EARLIEST, LATEST])
def test_moments_at_either_end_of_the_calendar_are_shown(receiver: Typed, here: FakeService, moment: str) -> None:
    waiting = {"for": "poll", "message": "looked at", "until": moment}
    one = result(received_at=moment)
    shown = task("submitted", created_at=moment, deadline_at=moment, waiting=waiting, results=[one])
    here.says("GET", TASK, Answer(200, shown))
    here.says("GET", f"{TASK}/events", Answer(200, {"data": []}))
    here.says("GET", "/v1/tasks", Answer(200, {"data": [shown], "next_cursor": None}))
    for said in (receiver("task", TASK_ID), receiver("tasks")):
        assert (said.code, said.err) == (0, "")
    assert RESULT_ID in receiver("task", TASK_ID).out
