"""What is waited for at the end of a drill."""

import httpx
import pytest

from receiver.drill.processes import NotInTimeError
from receiver.drill.sides import KNOWN, Sides, wait_for_rest


def sides(*statuses: str) -> Sides:
    """A service with a task in each of these states, and a sandbox that has nothing left to send."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/_sandbox/counts":
            return httpx.Response(200, json={"under_way": 0})
        if request.url.path.endswith("/events"):
            return httpx.Response(200, json={"data": []})
        wanted = request.url.params.get("status")
        tasks = [{"id": f"{number}", "status": status} for number, status in enumerate(statuses)]
        data = [task for task in tasks if wanted in {None, task["status"]}]
        return httpx.Response(200, json={"data": data, "next_cursor": None})

    return Sides(["http://ours"], "http://theirs", "key", httpx.Client(transport=httpx.MockTransport(answer)))


def test_a_submit_in_doubt_holds_up_the_end_of_a_drill_and_not_what_is_known() -> None:
    wait_for_rest(sides("succeeded", "unknown"), 0, states=KNOWN)
    with pytest.raises(NotInTimeError, match="still 1 unknown"):
        wait_for_rest(sides("succeeded", "unknown"), 0)
    with pytest.raises(NotInTimeError, match="still 1 collecting"):
        wait_for_rest(sides("collecting"), 0, states=KNOWN)
