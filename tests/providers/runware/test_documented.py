"""What is documented is read in one go: that says what the way for any form says, or nothing."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from receiver.domain.errors import UnreadableError
from receiver.domain.report import Reading, Via
from receiver.providers.runware.reading import (
    parse_body,
    parts_of,
    read_any,
    read_body,
    read_documented,
    slice_of,
    under_way,
)

TASK, OTHER = "6f1c2f0e-6c5f-4a0b-9a55-0d7d3b1c9e01", "0A1c2f0e-6c5f-4a0b-9a55-0d7d3b1c9e02"
LINK = "https://am.runware.ai/audio/ws/0.5/ai/a.mp3"
ITEM = {
    "taskType": "audioInference", "taskUUID": TASK, "audioUUID": OTHER, "audioURL": LINK, "status": "success",
    "seed": 41, "cost": 0.15,
}  # fmt: skip
#: What stands in a member's place, and the members that a documented item has not.
ODD: list[object] = [
    None, "", 0, 7, -1, True, 1.5, 1e400, 2**63 - 1, 10_001, "success", "Success ", "error", "processing", "0.15",
    TASK, TASK.upper(), OTHER, LINK, "http://am.runware.ai/a.mp3", "https://user@host/a", [], {}, {"taskUUID": OTHER},
]  # fmt: skip
MEMBERS = [
    *ITEM,
    "error",
    "errors",
    "errorMessage",
    "code",
    "message",
    "audioBase64Data",
    "audioDataURI",
    "new",
    "data",
]


def said(read: Callable[[], Reading | None]) -> Reading | str | None:
    try:
        return read()
    except UnreadableError as error:
        return f"unreadable: {error}"


def both(body: bytes, via: Via) -> tuple[Reading | str | None, Reading | str | None]:
    value = parse_body(body)
    return said(lambda: read_documented(value)), said(lambda: read_any(body, value, via))


@pytest.mark.parametrize("via", Via)
def test_the_documented_callback_needs_no_other_way(via: Via) -> None:
    documented, any_form = both(json.dumps({"data": [ITEM]}).encode(), via)
    assert isinstance(documented, Reading)
    assert documented == any_form


@pytest.mark.parametrize("without", ["seed", "cost"])
def test_what_may_be_missing_may_be_missing(without: str) -> None:
    item = {name: value for name, value in ITEM.items() if name != without}
    documented, any_form = both(json.dumps({"data": [item]}).encode(), Via.CALLBACK)
    assert isinstance(documented, Reading)
    assert documented == any_form


@settings(max_examples=400, deadline=None)
@given(
    st.dictionaries(st.sampled_from(MEMBERS), st.sampled_from(ODD), max_size=2),
    st.sets(st.sampled_from(list(ITEM)), max_size=1),
    st.sampled_from(["as is", "twice", "flat", "beside errors", "beside more", "in a list"]),
    st.sampled_from(list(Via)),
)
def test_it_says_the_same_or_nothing_of_all_that_is_nearly_so(
    odd: dict[str, object], missing: set[str], form: str, via: Via
) -> None:
    item = {name: value for name, value in {**ITEM, **odd}.items() if name not in missing}
    body: object = {
        "as is": {"data": [item]},
        "twice": {"data": [item, item]},
        "flat": item,
        "beside errors": {"data": [item], "errors": []},
        "beside more": {"data": [item], "new": {"taskUUID": OTHER}},
        "in a list": [{"data": [item]}],
    }[form]
    try:
        documented, any_form = both(json.dumps(body).encode(), via)
    except UnreadableError:
        return
    assert documented in (None, any_form)


PROGRESS = {"taskType": "audioInference", "taskUUID": TASK, "status": "processing"}


Cut = tuple[bytes, Reading]


def both_of_look(item: dict[str, object]) -> tuple[Cut | None, Cut]:
    parts = parts_of(parse_body(json.dumps({"data": [item]}).encode()))
    body = slice_of(parts)
    return under_way(parts), (body, read_body(body, Via.POLL))


def test_a_task_that_is_being_made_needs_no_other_way() -> None:
    documented, any_form = both_of_look(dict(PROGRESS))
    assert documented == any_form
    assert documented is not None
    assert documented[1] == Reading(pending=True, named=frozenset({TASK}))


@settings(max_examples=400, deadline=None)
@given(
    st.dictionaries(st.sampled_from(MEMBERS), st.sampled_from(ODD), max_size=2),
    st.sets(st.sampled_from(list(PROGRESS)), max_size=1),
)
def test_a_look_says_the_same_or_nothing_of_all_that_is_nearly_so(odd: dict[str, object], missing: set[str]) -> None:
    try:
        documented, any_form = both_of_look(
            {name: value for name, value in {**PROGRESS, **odd}.items() if name not in missing}
        )
    except UnreadableError:
        return
    assert documented in (None, any_form)


def test_of_more_than_one_part_nothing_is_said() -> None:
    parts = parts_of({"data": [PROGRESS]})
    assert under_way([*parts, *parts]) is None
    assert under_way(parts_of({"errors": [PROGRESS]})) is None
    assert under_way([]) is None


def test_an_absurd_cost_without_audio_is_no_reason_to_refuse() -> None:
    item = {**ITEM, "audioURL": None, "cost": 1e300}
    documented, any_form = both(json.dumps({"data": [item]}).encode(), Via.CALLBACK)
    assert documented is None
    assert isinstance(any_form, Reading)
