"""What a program that asked for JSON reads when a command fails: why, once, and what the service itself said."""

import json
from collections.abc import Callable

import pytest

from tests.cli.conftest import Said
from tests.cli.fake_service import TASK_ID, Answer, FakeService, problem, task

Typed = Callable[..., Said]


def test_a_refusal_of_the_service_is_on_standard_output_too(receiver: Typed, here: FakeService) -> None:
    refused = problem(422, "No", errors=[{"field": "prompt", "message": "is too short"}])
    here.says("POST", "/v1/tasks", refused)
    said = receiver("submit", "runware", "--prompt", "x", "--audio", "https://a.example/a.mp3", "--json")
    [line] = said.out.splitlines()
    assert json.loads(line) == {
        "error": {
            "message": "the service does not accept the request",
            "advice": ["prompt: is too short"],
            "problem": refused.body,
            "exit_code": 1,
        }
    }
    assert said.code == 1
    assert said.err.startswith("receiver: the service does not accept the request\n")


def test_what_never_reached_a_service_has_no_problem_of_its_own(receiver: Typed) -> None:
    said = receiver("stats", "--json", "--url", "http://127.0.0.1:1", "--api-key", "k")
    error = json.loads(said.out)["error"]
    assert (error["problem"], error["exit_code"]) == (None, 1)
    assert "no service at" in error["message"]


@pytest.mark.parametrize(
    "typed", [("tasks", "--nonsense"), ("task",), ("watch", "--all", "--after", "1"), ("keys", "new", "x"), ("tusk",)]
)
def test_a_command_that_is_not_understood_says_so_in_json(receiver: Typed, typed: tuple[str, ...]) -> None:
    plain, said = receiver(*typed), receiver(*typed, "--json")
    assert (said.code, plain.code, plain.out) == (2, 2, "")
    assert json.loads(said.out)["error"]["exit_code"] == 2


def test_where_the_document_of_the_command_is_there_no_other_follows(receiver: Typed, here: FakeService) -> None:
    here.says("POST", "/v1/tasks", Answer(202, task()))
    here.says("GET", f"/v1/tasks/{TASK_ID}", Answer(200, task("failed")))
    asked = ("submit", "runware", "--prompt", "bossa nova", "--audio", "https://a.example/a.mp3", "--wait", "--json")
    said = receiver(*asked)
    assert said.code == 1
    assert json.loads(said.out)["status"] == "failed"


def test_what_comes_from_elsewhere_cannot_act_on_a_terminal(receiver: Typed, here: FakeService) -> None:
    here.says("GET", "/v1/stats", problem(409, "\x1b]0;owned\x07"))
    said = receiver("stats", "--json")
    assert "\x1b" not in said.out + said.err
    assert json.loads(said.out)["error"]["problem"]["title"] == "\x1b]0;owned\x07"
