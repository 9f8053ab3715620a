import hashlib
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.audio import song
from tests.cli.conftest import Said
from tests.cli.fake_service import (
    AUDIO,
    RESULT_ID,
    TASK_ID,
    Answer,
    FakeService,
    problem,
    result,
    succeeded,
    task,
)

Typed = Callable[..., Said]
SUBMIT = ("submit", "runware", "--prompt", "bossa nova, slow", "--audio", "https://a.example/b.mp3")
HINT = f"follow it with `receiver task {TASK_ID} --wait`; with --out DIR for its audio"
TASK = f"/v1/tasks/{TASK_ID}"
AUDIO_PATH = f"{TASK}/results/{RESULT_ID}/audio"


def asked(service: FakeService) -> dict[str, object]:
    document: dict[str, object] = json.loads(service.asked[0].body)
    return document


def accepting(service: FakeService, *later: Answer) -> None:
    service.says("POST", "/v1/tasks", Answer(202, task()))
    if later:
        service.says("GET", TASK, *later)


def test_only_what_was_given_is_sent(receiver: Typed, here: FakeService) -> None:
    accepting(here)
    assert receiver(*SUBMIT).code == 0
    assert asked(here) == {
        "provider": "runware",
        "prompt": "bossa nova, slow",
        "reference_audio": "https://a.example/b.mp3",
    }


def test_every_option_has_its_field(receiver: Typed, here: FakeService) -> None:
    accepting(here)
    said = receiver(
        *SUBMIT, "--lyrics", "la la la la la", "--model", "m:1@2", "--count", "2", "--seed", "0", "--format", "FLAC",
        "--output-type", "URL", "--sample-rate", "44100", "--bitrate", "128000", "--ttl", "60", "--no-include-cost",
        "--upload-endpoint", "https://u.example/x", "--option", "settings.deep.x=1", "--option", 'settings.y="z"',
        "--option", 'plain="word"', "--metadata", "album=a=b", "--metadata", "track=4", "--deadline", "60",
    )  # fmt: skip
    assert said.code == 0
    assert asked(here) == {
        "provider": "runware",
        "prompt": "bossa nova, slow",
        "reference_audio": "https://a.example/b.mp3",
        "lyrics": "la la la la la",
        "model": "m:1@2",
        "count": 2,
        "seed": 0,
        "output_format": "FLAC",
        "output_type": "URL",
        "sample_rate": 44100,
        "bitrate": 128000,
        "ttl_seconds": 60,
        "include_cost": False,
        "upload_endpoint": "https://u.example/x",
        "provider_options": {"settings": {"deep": {"x": 1}, "y": "z"}, "plain": "word"},
        "metadata": {"album": "a=b", "track": "4"},
        "deadline_seconds": 60.0,
    }


def test_without_waiting_it_says_the_id_and_how_to_look(receiver: Typed, here: FakeService) -> None:
    accepting(here)
    here.says("POST", "/v1/tasks", Answer(202, task(warnings=[{"field": "prompt", "message": "long"}])))
    assert receiver(*SUBMIT) == Said(0, f"Task {TASK_ID} is queued.\n  warning: prompt: long\n  {HINT}\n", "")


def test_json_is_the_task_as_the_service_said_it(receiver: Typed, here: FakeService) -> None:
    accepting(here)
    said = receiver(*SUBMIT, "--json")
    assert said.code == 0
    assert json.loads(said.out) == task()
    assert said.out.count("\n") == 1


def test_each_submit_has_a_key_of_its_own_against_doubles(receiver: Typed, here: FakeService) -> None:
    accepting(here)
    receiver(*SUBMIT)
    receiver(*SUBMIT)
    receiver(*SUBMIT, "--idempotency-key", "mine")
    keys = [each.headers["idempotency-key"] for each in here.asked]
    assert len(set(keys)) == 3
    assert keys[2] == "mine"


def test_a_lost_answer_says_how_to_repeat_without_a_second_task(receiver: Typed, here: FakeService) -> None:
    here.says("POST", "/v1/tasks", None)
    said = receiver(*SUBMIT)
    key = here.asked[0].headers["idempotency-key"]
    assert said.code == 1
    assert "the task may exist" in said.err
    assert f"--idempotency-key {key}" in said.err


@pytest.mark.parametrize(
    "audio",
    [
        "https://a.example/b.mp3?x=1&y=2",
        "http://10.0.0.1/x",
        "data:audio/mpeg;base64,SUQz",
        "SUQzBAAAAAAA" * 9000,
        "6f1c2f0e-6c5f-4a0b-9a55-0d7d3b1c9e01",
        "input:6f1c2f0e",
    ],
    ids=["url", "any url", "data uri", "base64", "id", "input"],
)
def test_reference_audio_goes_out_as_it_was_given(receiver: Typed, here: FakeService, audio: str) -> None:
    accepting(here)
    assert receiver("submit", "aimlapi", "--prompt", "bossa nova", "--audio", audio).code == 0
    assert asked(here)["reference_audio"] == audio


def test_a_file_is_uploaded_and_then_asked_for_by_its_id(receiver: Typed, here: FakeService, folder: Path) -> None:
    audio = song()
    (folder / "song").write_bytes(audio)
    taken = {
        "id": RESULT_ID,
        "sha256": hashlib.sha256(audio).hexdigest(),
        "bytes": len(audio),
        "duration_seconds": 7.0,
    }
    here.says("POST", "/v1/inputs", Answer(201, taken))
    accepting(here)
    said = receiver("submit", "runware", "--prompt", "bossa nova", "--audio", "song")
    assert (said.code, said.err) == (0, "")
    assert [one.path for one in here.asked] == ["/v1/inputs", "/v1/tasks"]
    assert here.asked[0].body == audio
    assert json.loads(here.asked[1].body)["reference_audio"] == f"input:{RESULT_ID}"


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (None, 2, "song is a folder"),
        (b"no song at all", 1, "song is no audio that can be used: looks like text, not audio"),
        (song()[:50_000], 1, "song is no audio that can be used"),
        (song(5.5), 1, "song plays for 5.50 seconds; 6 seconds to 6 minutes are taken"),
        (bytes(50 * 1024 * 1024 + 1), 1, "song is too large: 52.4 MB"),
    ],
    ids=["folder", "text", "half", "short", "large"],
)
def test_a_file_that_is_not_fit_is_refused_before_anything_is_sent(
    receiver: Typed, here: FakeService, folder: Path, content: bytes | None, code: int, words: str
) -> None:
    if content is None:
        (folder / "song").mkdir()
    else:
        (folder / "song").write_bytes(content)
    said = receiver("submit", "runware", "--prompt", "bossa nova", "--audio", "song")
    assert said.code == code
    assert words in said.err
    assert here.asked == []


def test_a_file_that_is_not_there_is_refused_too(receiver: Typed, here: FakeService) -> None:
    said = receiver("submit", "runware", "--prompt", "bossa nova", "--audio", "./nowhere.mp3")
    assert said.code == 2
    assert "no such file: ./nowhere.mp3" in said.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--option", "x"], "KEY=JSON, such as settings.x=1"),
        (["--option", "a=1", "--option", "a.b=2"], "lies inside of a value"),
        (["--option", "a.b=2", "--option", "a=1"], "given twice"),
        (["--option", "a={"], "is not JSON"),
        (["--option", "a=text"], """'a.b="text"'"""),
        (["--metadata", "=x"], "NAME=VALUE"),
        (["--count", "two"], "--count"),
        (["--timeout", "5"], "--timeout belongs to --wait"),
    ],
)
def test_what_cannot_be_understood_is_a_usage_error(
    receiver: Typed, here: FakeService, arguments: list[str], words: str
) -> None:
    said = receiver(*SUBMIT, *arguments)
    assert said.code == 2
    assert words in said.err
    assert here.asked == []


def test_prompt_and_audio_are_needed(receiver: Typed) -> None:
    said = receiver("submit", "runware", "--prompt", "x")
    assert said.code == 2
    assert "--audio" in said.err


def test_waiting_shows_each_change_and_ends_with_the_task(receiver: Typed, here: FakeService) -> None:
    accepting(here, Answer(200, task("submitted")), Answer(200, task("submitted")), Answer(200, succeeded()))
    said = receiver(*SUBMIT, "--wait")
    assert said.code == 0
    states = [line.split()[-3:] for line in said.err.splitlines()]
    assert states == [["queued", "0/1", "stored"], ["submitted", "0/1", "stored"], ["succeeded", "1/1", "stored"]]
    assert said.out.startswith(f"{TASK_ID}  succeeded\n")
    assert "by callback +24.1 s" in said.out


def test_waiting_says_what_is_waited_for_once_as_long_as_it_is_the_same(receiver: Typed, here: FakeService) -> None:
    key = {"for": "key", "message": "no key is set for runware", "until": None}
    audio = {"for": "audio", "message": "its audio is being fetched", "until": None}
    soon = {"for": "callback", "message": "the callback", "until": "2026-01-01T00:00:00Z"}
    later = {**soon, "until": "2026-01-01T00:00:01Z"}
    seen = [
        task("queued", waiting=key), task("queued", waiting=key), task("submitted", waiting=soon),
        task("submitted", waiting=later), task("collecting", waiting=audio, results=[result("pending")]), succeeded(),
    ]  # fmt: skip
    accepting(here, *[Answer(200, each) for each in seen])
    said = receiver(*SUBMIT, "--wait")
    assert [" ".join(line.split()[2:]).removeprefix(f"{TASK_ID} ") for line in said.err.splitlines()] == [
        "runware queued 0/1 stored",
        "no key is set for runware".partition(" ")[2],
        "runware submitted 0/1 stored",
        "the callback; our own look now",
        "runware collecting 0/1 stored",
        "runware succeeded 1/1 stored",
    ]


def test_a_reason_in_other_words_each_time_is_not_said_each_time(receiver: Typed, here: FakeService) -> None:
    tries = [
        {"for": "retry", "message": f"asking did not work (HTTP 503, request {number}); it is asked again",
         "until": "2026-01-01T00:00:00Z"}
        for number in range(3)
    ]  # fmt: skip
    accepting(here, *[Answer(200, task("submitted", waiting=each)) for each in tries], Answer(200, succeeded()))
    said = receiver(*SUBMIT, "--wait")
    assert said.err.count("asking did not work") == 1
    assert "HTTP 503, request 0" in said.err


def test_waiting_outlives_a_restart_of_the_service(receiver: Typed, here: FakeService) -> None:
    accepting(here, problem(503, "Not now"), Answer(200, succeeded()))
    said = receiver(*SUBMIT, "--wait", "--json")
    assert said.code == 0
    assert "trying again" in said.err
    assert json.loads(said.out) == succeeded()


@pytest.mark.parametrize("status", ["failed", "partial", "lost", "cancelled"])
def test_a_task_that_ends_otherwise_is_a_failure(receiver: Typed, here: FakeService, status: str) -> None:
    error = {"code": "moderation", "message": "no", "retryable": False, "provider_code": "x"}
    accepting(here, Answer(200, task(status, errors=[error])))
    said = receiver(*SUBMIT, "--wait", "--json")
    assert said.code == 1
    assert json.loads(said.out)["status"] == status
    assert f"the task ended as {status}" in said.err


def test_time_runs_out_on_the_waiting_and_not_on_the_task(receiver: Typed, here: FakeService) -> None:
    accepting(here, Answer(200, task("submitted")))
    said = receiver(*SUBMIT, "--wait", "--timeout", "0.1", "--json")
    assert said.code == 1
    assert "has not ended within 0.1 s; it goes on" in said.err
    assert f"receiver task {TASK_ID}" in said.err
    assert json.loads(said.out)["status"] == "submitted"


def test_what_goes_on_without_us_is_not_shown_and_the_hint_stands_alone(receiver: Typed, here: FakeService) -> None:
    accepting(here, Answer(200, task("submitted")))
    for command in (SUBMIT, ("task", TASK_ID)):
        said = receiver(*command, "--out", "new music", "--timeout", "0.1")
        assert (said.code, said.out) == (1, "")
        assert said.err.endswith(
            "receiver: the task has not ended within 0.1 s; it goes on\n"
            f"  follow it with `receiver task {TASK_ID} --wait --out 'new music'`\n"
        )


def test_a_task_that_exists_is_followed_and_its_audio_saved_again_and_again(
    receiver: Typed, here: FakeService, folder: Path
) -> None:
    here.says("GET", TASK, Answer(200, task("submitted")), Answer(200, succeeded()))
    here.says("GET", f"{TASK}/events", Answer(200, {"data": []}))
    here.says("GET", AUDIO_PATH, Answer(200, AUDIO))
    for _ in range(2):
        said = receiver("task", TASK_ID, "--wait", "--out", "music")
        assert said.code == 0
        assert (folder / "music" / f"{TASK_ID}-0.mp3").read_bytes() == AUDIO
        assert f"music/{TASK_ID}-0.mp3\n     {AUDIO_PATH}\n" in said.out
    assert [asked.path for asked in here.asked].count(AUDIO_PATH) == 1
    assert json.loads(receiver("task", TASK_ID, "--wait", "--json").out) == {**succeeded(), "events": []}


def test_out_implies_waiting_and_saves_each_stored_result_under_our_name(
    receiver: Typed, here: FakeService, folder: Path
) -> None:
    accepting(here, Answer(200, succeeded()))
    here.says("GET", AUDIO_PATH, Answer(200, AUDIO))
    said = receiver(*SUBMIT, "--out", "new/music")
    path = folder / "new" / "music" / f"{TASK_ID}-0.mp3"
    assert said.code == 0
    assert path.read_bytes() == AUDIO
    assert f"{path.relative_to(folder)}\n" in said.out
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_partial_task_gives_what_it_has(receiver: Typed, here: FakeService, folder: Path) -> None:
    other = result("failed", id="91aa0c1d-2b3c-4d4e-8f50-616263646567", index=1)
    accepting(here, Answer(200, {**succeeded(results=[result(), other]), "status": "partial"}))
    here.says("GET", AUDIO_PATH, Answer(200, AUDIO))
    said = receiver(*SUBMIT, "--out", "music", "--json")
    assert said.code == 1
    assert (folder / "music" / f"{TASK_ID}-0.mp3").read_bytes() == AUDIO


@pytest.mark.parametrize(
    ("media_type", "name"),
    [
        ("audio/flac", f"{TASK_ID}-0.flac"),
        ("audio/wav", f"{TASK_ID}-0.wav"),
        ("../../x", f"{TASK_ID}-0.audio"),
        ("text/html", f"{TASK_ID}-0.audio"),
        (None, f"{TASK_ID}-0.audio"),
    ],
)
def test_the_ending_comes_from_a_closed_list(
    receiver: Typed, here: FakeService, folder: Path, media_type: str | None, name: str
) -> None:
    stored = result()
    stored["artifact"]["media_type"] = media_type
    accepting(here, Answer(200, succeeded(results=[stored])))
    here.says("GET", AUDIO_PATH, Answer(200, AUDIO))
    assert receiver(*SUBMIT, "--out", "music").code == 0
    assert [path.name for path in (folder / "music").iterdir()] == [name]


def test_a_file_that_is_there_is_never_replaced(receiver: Typed, here: FakeService, folder: Path) -> None:
    accepting(here, Answer(200, succeeded()))
    here.says("GET", AUDIO_PATH, Answer(200, AUDIO))
    path = folder / f"{TASK_ID}-0.mp3"
    path.write_text("mine")
    said = receiver(*SUBMIT, "--out", ".", "--json")
    assert said.code == 1
    assert "File exists" in said.err
    assert path.read_text() == "mine"
    assert json.loads(said.out) == succeeded()


def test_a_link_in_the_folder_leads_nowhere(receiver: Typed, here: FakeService, folder: Path) -> None:
    accepting(here, Answer(200, succeeded()))
    here.says("GET", AUDIO_PATH, Answer(200, AUDIO))
    (folder / "music").mkdir()
    (folder / "music" / f"{TASK_ID}-0.mp3").symlink_to(folder / "target")
    assert receiver(*SUBMIT, "--out", "music").code == 1
    assert not (folder / "target").exists()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(200, AUDIO[:-1]), f"{len(AUDIO) - 1} came"),
        (Answer(200, AUDIO + b"x"), "more came"),
        (Answer(200, AUDIO[:-1] + b"x"), "sha256"),
        (Answer(200, AUDIO[:-9], {"content-length": str(len(AUDIO))}), "did not answer to the end"),
        (Answer(200, AUDIO, {"content-encoding": "gzip"}), "encoded"),
        (problem(404, "The audio is not in our storage"), "nothing by that name"),
    ],
    ids=["short", "long", "other", "cut", "gzip", "gone"],
)
def test_audio_that_is_not_the_tasks_is_not_kept(
    receiver: Typed, here: FakeService, folder: Path, answer: Answer, words: str
) -> None:
    accepting(here, Answer(200, succeeded()))
    here.says("GET", AUDIO_PATH, answer)
    said = receiver(*SUBMIT, "--out", "music")
    assert said.code == 1
    assert words in said.err
    assert list((folder / "music").iterdir()) == []


def test_a_folder_that_cannot_be_made_is_said_before_anything_is_asked_for(
    receiver: Typed, here: FakeService, folder: Path
) -> None:
    (folder / "file").touch()
    said = receiver(*SUBMIT, "--out", "file/music")
    assert said.code == 1
    assert "--out" in said.err
    assert here.asked == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_says_that_the_task_goes_on(here: FakeService, number: signal.Signals) -> None:
    accepting(here, Answer(200, task("submitted")))
    process = subprocess.Popen(
        [sys.executable, "-m", "receiver", *SUBMIT, "--wait", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert "queued" in process.stderr.readline()
    assert "submitted" in process.stderr.readline()
    process.send_signal(number)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert err == f"receiver: no longer waiting; the task goes on\n  {HINT}\n"
    assert json.loads(out)["status"] == "submitted"
