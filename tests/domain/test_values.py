import dataclasses
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import pytest

from receiver.domain.event import Event, EventType
from receiver.domain.report import Reading
from receiver.domain.result import Artifact
from receiver.domain.task import Change, Task
from receiver.domain.values import quick, replace
from tests.domain.making import START, collecting, output

VALUES = {
    "task": collecting(2),
    "result": collecting().results[0],
    "said": output(),
    "event": Event(EventType.TASK_LOST, START, {"a": 1}),
    "change": Change(collecting()),
}
of_each = pytest.mark.parametrize("value", VALUES.values(), ids=VALUES.keys())


@of_each
def test_a_copy_is_what_the_standard_library_would_make(value: object) -> None:
    given: Any = value
    for of in dataclasses.fields(given):
        other = object()
        expected = dataclasses.replace(given, **{of.name: other})
        assert replace(given, **{of.name: other}) == expected


@of_each
def test_a_copy_without_changes_is_another_value_that_is_equal(value: object) -> None:
    given: Any = value
    copy = replace(given)
    assert copy is not value
    assert (copy, type(copy)) == (value, type(value))


@pytest.mark.parametrize("made", [lambda value: value, replace], ids=["made", "copied"])
@of_each
def test_nothing_can_be_assigned_to_a_value_or_taken_from_it(value: object, made: Callable[[Any], Any]) -> None:
    given = made(value)
    name = dataclasses.fields(given)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(given, name, 1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        delattr(given, name)


@of_each
def test_a_field_that_is_not_there_cannot_be_changed(value: object) -> None:
    given: Any = value
    with pytest.raises(AttributeError):
        replace(given, no_such_field=1)


def test_fields_that_are_not_given_are_what_the_class_says_and_each_value_has_its_own() -> None:
    assert (Artifact().attempts, Artifact().object_key) == (0, None)
    assert Event(EventType.TASK_LOST, START).data == MappingProxyType({})
    one, other = Listed(1), Listed(1)
    assert one == other
    assert one.members is not other.members


def test_a_field_without_a_default_must_be_given_and_one_too_many_is_refused() -> None:
    kind: Any = Listed
    for arguments in ([], [1, [], 3]):
        with pytest.raises(TypeError):
            kind(*arguments)


def test_fields_may_be_given_by_place_or_by_name_in_the_order_of_the_class() -> None:
    assert list(inspect.signature(Task).parameters) == [of.name for of in dataclasses.fields(Task)]
    assert Reading((output(),)) == Reading(outputs=(output(),))


@quick
@dataclass(frozen=True, slots=True)
class Listed:
    number: int
    members: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class WithoutSlots:
    number: int


@dataclass(frozen=True, slots=True)
class Checking:
    number: int

    def __post_init__(self) -> None:
        """Do more than the constructor."""


@pytest.mark.parametrize("kind", [WithoutSlots, Checking])
def test_a_class_whose_making_is_more_than_storing_its_fields_is_refused(kind: type) -> None:
    with pytest.raises(TypeError, match=kind.__name__):
        quick(kind)
