"""A fault is told with the id of the task it concerns, and with nothing that a caller wrote."""

import logging

import pytest

from tests.web.fakes import World
from tests.web.support import client


@pytest.mark.parametrize(
    ("path", "named"), [("/v1/tasks/{id}", True), ("/v1/tasks/{id}/events", True), ("/v1/tasks", False)]
)
async def test_a_fault_in_a_task_s_route_names_the_task(
    world: World, caplog: pytest.LogCaptureFixture, path: str, named: bool
) -> None:
    task = world.task()
    world.store.fault = RuntimeError("broken")
    with caplog.at_level(logging.ERROR):
        async with client(world) as http:
            assert (await http.get(path.format(id=task.id))).status_code == 500
    [line] = [vars(record) for record in caplog.records if record.message == "request_fault"]
    assert line.get("task_id") == (str(task.id) if named else None)


async def test_a_fault_of_a_callback_names_its_task_by_the_key_that_the_database_knows(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    task = world.task()
    world.store.fault = RuntimeError("broken")
    with caplog.at_level(logging.ERROR):
        async with client(world, headers={}) as http:
            assert (await http.post(f"/callbacks/runware/{world.token(task.key)}", content=b"{}")).status_code == 503
    [line] = [vars(record) for record in caplog.records if record.message == "callback_fault"]
    assert line["task_key"] == str(task.key)
