"""kill -9 at every checkpoint, then a new start: nothing is lost, nothing is paid twice, and every task ends."""

import os
import re
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from tests.audio import song
from tests.flows.listener import application
from tests.harness import balance, running, wait_until

#: Every checkpoint, and what makes a run come by it.
CHECKPOINTS = {
    "submit.after_intent": {},
    "submit.before_send": {},
    "submit.after_send": {},
    "submit.after_outcome": {},
    "accept.before_append": {},
    "accept.after_append": {},
    "poll.before_send": {},
    "poll.after_send": {},
    "poll.after_record": {},
    "poll.after_look_up": {"lose_submit_answer": 1.0, "only": "aimlapi"},
    "settle.before_read": {},
    "settle.after_apply": {},
    "collect.after_fetch": {},
    "collect.after_claim": {},
    "collect.after_keep": {},
    "collect.after_record": {},
}


#: Come by only when somebody asks for it; the test of its kill stands below.
AMID_ERASING = ("erase.after_rows", "erase.after_condemn")
ASKED_FOR = {*AMID_ERASING, "upload.after_promise", "upload.after_object"}
#: Come by only when somebody is told; what was on its way may have arrived when they are reached, or not.
TOLD = ("notify.before_send", "notify.after_send", "notify.after_record")


def test_every_checkpoint_in_the_code_is_killed_at() -> None:
    root = Path(__file__).parents[2] / "receiver"
    text = "\n".join(path.read_text("utf-8") for path in (root / "lifecycle").rglob("*.py"))
    assert set(re.findall(r'checkpoint\("([^"]+)"\)', text)) == {*CHECKPOINTS, *ASKED_FOR, *TOLD}


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_after_a_kill_at_a_checkpoint_the_balance_is_exact(tmp_path: Path, name: str) -> None:
    with running(tmp_path, serve=False) as stack:
        stack.faults(**CHECKPOINTS[name])
        ordinary = dict(stack.service.environment)
        # The second time, so that something is already under way.
        stack.service.environment = {**ordinary, "RECEIVER_KILL_AT": f"{name}:2"}
        stack.service.start()
        accepted: list[str] = []
        # On a slow machine all of them may come by together: more are sent until the second time has come.
        end = time.monotonic() + 60
        while not stack.service.dead and time.monotonic() < end:
            accepted += stack.submit_until_dead(["runware", "aimlapi", "runware", "aimlapi"])
            stack.service.dies_within(seconds=5)
        assert stack.service.dead, f"not killed at {name}"
        assert f"checkpoint {name} reached" in stack.service.words()
        stack.service.environment = ordinary
        stack.service.start()
        tasks = stack.wait_for_all(seconds=60)
        assert set(accepted) <= {task["id"] for task in tasks}, "a task whose 202 came is gone"
        exact = balance(stack)
        exact.assert_exact()
        assert set(exact.statuses) <= {"succeeded", "lost"}
        lost = [task for task in tasks if task["status"] == "lost"]
        assert all(task["provider"] == "aimlapi" for task in lost), "only an unfindable AIMLAPI submit may be lost"


@pytest.mark.parametrize("name", TOLD)
def test_after_a_kill_amid_notifying_everything_is_told_under_the_same_ids(tmp_path: Path, name: str) -> None:
    secret = "whsec_" + "AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"
    with application() as app:
        settings = {"RECEIVER_NOTIFY_URL": app.url, "RECEIVER_NOTIFY_SECRET": secret, "RECEIVER_KILL_AT": f"{name}:2"}
        with running(tmp_path, settings={**settings, "RECEIVER_ALLOWED_PRIVATE_HOSTS": "127.0.0.1"}) as stack:
            accepted = stack.submit_until_dead(["runware", "aimlapi", "runware"])
            wait_until(lambda: stack.service.dead, 60, f"killed at {name}")
            before = [post.id for post in app.posts]
            stack.service.environment = {**stack.service.environment, "RECEIVER_KILL_AT": ""}
            stack.service.start()
            stack.wait_for_all()
            wait_until(lambda: not stack.get("/v1/deliveries?status=pending").json()["data"], 60, "all is told")
            sent = stack.get("/v1/deliveries?limit=200").json()["data"]
            assert {delivery["status"] for delivery in sent} == {"sent"}
            assert {(each["task_id"], each["type"]) for each in sent} == {
                (task_id, kind) for task_id in accepted for kind in ("result.stored", "task.succeeded")
            }
            told = {post.id: post.verified(secret) for post in app.posts}
            assert told.keys() == {delivery["id"] for delivery in sent}
            assert {told[each["id"]].type for each in sent if each["task_id"] == accepted[0]} == {
                "result.stored",
                "task.succeeded",
            }
            # At least once: what had arrived and was not on record came again.
            again = {post.id for post in app.posts[len(before) :]} & set(before)
            assert again or name != "notify.after_send"


@pytest.mark.parametrize("name", AMID_ERASING)
def test_after_a_kill_amid_erasing_the_next_start_removes_the_audio(tmp_path: Path, name: str) -> None:
    with running(tmp_path, settings={"RECEIVER_KILL_AT": name}) as stack:
        task = stack.wait_for(stack.submit("runware", metadata={"user": "17"})["id"])

        def audio() -> list[Path]:
            # Folders go, too, while they are walked through.
            walked = os.walk(tmp_path / "data" / "artifacts")
            return [Path(folder, name) for folder, _, names in walked for name in names]

        assert len(audio()) == 1
        with pytest.raises(httpx.TransportError):
            stack.http.delete(f"{stack.service.url}/v1/tasks?metadata.user=17", headers=stack.headers())
        wait_until(lambda: stack.service.dead, 30, "killed amid erasing")
        assert len(audio()) == 1
        stack.service.environment = {**stack.service.environment, "RECEIVER_KILL_AT": ""}
        stack.service.start()
        wait_until(lambda: not audio(), 20, "the audio is removed")
        assert stack.task(task["id"])["results"][0]["artifact"]["status"] == "erased"


@pytest.mark.parametrize("name", ["upload.after_promise", "upload.after_object"])
def test_after_a_kill_amid_an_upload_no_file_lies_there_that_nobody_knows(tmp_path: Path, name: str) -> None:
    audio = song()

    def known() -> set[str]:
        with closing(sqlite3.connect(tmp_path / "data" / "receiver.db")) as database:
            names = database.execute("SELECT object_key FROM doomed_objects").fetchall()
            rows = database.execute("SELECT lower(hex(id)) FROM inputs").fetchall()
        return {str(UUID(key.rpartition("/")[2])) for (key,) in names} | {str(UUID(row)) for (row,) in rows}

    with running(tmp_path, settings={"RECEIVER_KILL_AT": name}) as stack:
        address, headers = f"{stack.service.url}/v1/inputs", stack.headers()
        with pytest.raises(httpx.TransportError):
            stack.http.post(address, content=audio, headers=headers)
        wait_until(lambda: stack.service.dead, 30, "killed amid an upload")
        stack.service.environment = {**stack.service.environment, "RECEIVER_KILL_AT": ""}
        stack.service.start()
        assert stack.http.post(address, content=audio, headers=headers).status_code == 201
        there = [path.name for path in (tmp_path / "data" / "artifacts" / "inputs").iterdir()]
        assert len(there) == (2 if name == "upload.after_object" else 1)
        assert set(there) <= known()


def test_a_stop_ends_within_ten_seconds_with_work_under_way_and_loses_nothing(tmp_path: Path) -> None:
    with running(tmp_path) as stack:
        stack.faults(seconds=[2, 4])
        for provider in ("runware", "aimlapi") * 4:
            stack.submit(provider)
        assert stack.service.stop(seconds=10) < 10
        assert stack.service.child is not None
        assert stack.service.child.returncode == 0
        stack.service.start()
        assert {task["status"] for task in stack.wait_for_all()} == {"succeeded"}
        balance(stack).assert_exact()
