from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Said
from tests.cli.fake_service import KEY, TASK_ID, Answer, FakeService, problem, task

Typed = Callable[..., Said]
NONE = Answer(200, {"data": [], "next_cursor": None})


def key_file(folder: Path, key: str = KEY) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "api_key"
    path.write_text(key + "\n")
    path.chmod(0o600)
    return path


def bearers(service: FakeService) -> set[str | None]:
    return {asked.headers.get("authorization") for asked in service.asked}


def test_the_key_of_the_environment_is_sent(receiver: Typed, here: FakeService) -> None:
    here.says("GET", "/v1/tasks", NONE)
    assert receiver("tasks").code == 0
    assert bearers(here) == {f"Bearer {KEY}"}


def test_without_one_the_key_file_of_the_local_service_is_read(
    receiver: Typed, service: FakeService, folder: Path
) -> None:
    service.says("GET", "/v1/tasks", NONE)
    key_file(folder / "var", "k9:" + "f" * 32)
    assert receiver("tasks", "--url", service.url).code == 0
    assert bearers(service) == {f"Bearer k9:{'f' * 32}"}


def test_the_folder_of_the_key_file_can_be_named(
    receiver: Typed, service: FakeService, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.says("GET", "/v1/tasks", NONE)
    key_file(folder / "one", "a" * 32)
    key_file(folder / "two", "b" * 32)
    monkeypatch.setenv("RECEIVER_DATA_DIR", "one")
    assert receiver("tasks", "--url", service.url).code == 0
    assert receiver("tasks", "--url", service.url, "--data-dir", "two").code == 0
    assert bearers(service) == {f"Bearer {'a' * 32}", f"Bearer {'b' * 32}"}


def test_a_dotenv_in_the_working_folder_sets_neither_url_nor_key_nor_folder(
    receiver: Typed, service: FakeService, folder: Path
) -> None:
    key_file(folder / "elsewhere")
    (folder / ".env").write_text(
        f"RECEIVER_URL={service.url}\nRECEIVER_API_KEY={KEY}\nRECEIVER_API_KEYS={KEY}\nRECEIVER_DATA_DIR=elsewhere\n"
    )
    said = receiver("tasks")
    assert said.code == 1
    assert "no API key for http://127.0.0.1:8080" in said.err
    assert receiver("tasks", "--url", service.url).code == 1
    assert service.asked == []


def test_without_a_key_file_the_keys_of_the_service_itself_serve_on_this_machine(
    receiver: Typed, service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.says("GET", "/v1/tasks", NONE)
    monkeypatch.setenv("RECEIVER_API_KEYS", f"{KEY},other")
    assert receiver("tasks", "--url", service.url).code == 0
    assert bearers(service) == {f"Bearer {KEY}"}
    said = receiver("tasks", "--url", "https://receiver.example")
    assert said.code == 2


def test_no_key_anywhere_says_where_one_is_looked_for(receiver: Typed, folder: Path) -> None:
    said = receiver("tasks")
    assert said.code == 1
    assert str(folder / "var" / "api_key") in said.err
    assert "`receiver serve` makes it on its first start" in said.err
    assert "--api-key or RECEIVER_API_KEY" in said.err


def test_a_key_file_that_others_may_read_is_refused(receiver: Typed, folder: Path) -> None:
    key_file(folder / "var").chmod(0o644)
    said = receiver("tasks")
    assert said.code == 1
    assert "chmod 600" in said.err


def test_the_key_file_is_for_this_machine_alone(receiver: Typed, folder: Path) -> None:
    key_file(folder / "var")
    said = receiver("tasks", "--url", "https://receiver.example")
    assert said.code == 2
    assert "no API key for https://receiver.example" in said.err


@pytest.mark.parametrize(
    "url",
    [
        "http://receiver.example",
        "http://192.168.0.7:8080",
        "http://0x7f000001",
        "http://2130706433",
        "http://127.0.0.1.nip.example",
        "http://localhost.example",
        "http://[::ffff:10.0.0.1]",
    ],
)
def test_no_key_travels_over_http_to_another_machine(receiver: Typed, url: str) -> None:
    said = receiver("tasks", "--url", url, "--api-key", KEY)
    assert said.code == 2
    assert "use https" in said.err
    assert KEY not in said.err


@pytest.mark.parametrize(
    "url",
    ["", "receiver.example", "ftp://x", "file:///etc/passwd", "https://", "https://a?b", "http://[", "https://a:b@c"],
)
def test_an_address_that_is_none_is_a_usage_error(receiver: Typed, url: str) -> None:
    said = receiver("tasks", "--url", url, "--api-key", KEY)
    assert said.code == 2
    assert "address" in said.err


@pytest.mark.parametrize(
    "url",
    [
        "https://user:sesame@receiver.example",
        "https://user:sesame/sesame@sesame@receiver.example",
        "http://user:sesame@[::1",
        "user:sesame@receiver.example",
        "https://sesame@receiver.example",
        "https://:sesame@:99999",
    ],
)
def test_a_password_in_an_address_is_not_shown(receiver: Typed, url: str) -> None:
    said = receiver("tasks", "--url", url, "--api-key", KEY)
    assert said.code == 2
    assert "address" in said.err
    assert "[hidden]@" in said.err
    assert "sesame" not in said.err


@pytest.mark.parametrize("key", ["a b", "a\nb", "schlüssel"])
def test_a_key_that_no_header_can_hold_is_a_usage_error_that_does_not_show_it(receiver: Typed, key: str) -> None:
    said = receiver("tasks", "--api-key", key)
    assert said.code == 2
    assert key not in said.err


def test_nobody_there_says_how_to_start_a_service(receiver: Typed, service: FakeService) -> None:
    said = receiver("tasks", "--url", "http://127.0.0.1:1", "--api-key", KEY)
    assert said == Said(1, "", "receiver: no service at http://127.0.0.1:1\n  start one with `receiver serve`\n")


def test_a_proxy_of_the_environment_never_sees_what_is_meant_for_this_machine(
    receiver: Typed, here: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.says("GET", "/v1/tasks", NONE)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    assert receiver("tasks").code == 0


def test_a_wrong_key_says_where_it_came_from(receiver: Typed, service: FakeService, folder: Path) -> None:
    service.says("GET", "/v1/tasks", problem(401, "A valid API key is needed"))
    path = key_file(folder / "var")
    said = receiver("tasks", "--url", service.url)
    assert said.code == 1
    assert f"the key came from {path}" in said.err
    assert ".env file is not read" in said.err
    assert "RECEIVER_API_KEY" in receiver("tasks", "--url", service.url, "--api-key", KEY).err


def test_refused_fields_are_listed_with_their_options(receiver: Typed, here: FakeService) -> None:
    errors = [
        {"field": "prompt", "message": "must have 10 to 300 characters"},
        {"field": "reference_audio", "message": "must be a URL"},
    ]
    here.says("POST", "/v1/tasks", problem(422, "The request cannot be accepted as it is", errors=errors))
    said = receiver("submit", "runware", "--prompt", "x", "--audio", "https://a.example/b")
    assert said.code == 1
    assert said.err == (
        "receiver: the service does not accept the request\n"
        "  prompt: must have 10 to 300 characters\n"
        "  reference_audio (--audio): must be a URL\n"
    )


def test_a_busy_service_says_when_to_come_back(receiver: Typed, here: FakeService) -> None:
    here.says("GET", "/v1/tasks", problem(503, "We cannot do this now; try again", retry_after="5"))
    said = receiver("tasks")
    assert said.code == 1
    assert "nothing was recorded; try again in 5 s" in said.err


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (413, ["takes no body of this size (HTTP 413)", "client_max_body_size", "give its URL"]),
        (502, ["answered in its place (HTTP 502)", "see that the service runs", "may have had its effect"]),
        (504, ["answered in its place (HTTP 504)", "may have had its effect"]),
    ],
)
def test_a_proxy_that_answers_in_place_of_the_service_is_told_as_such(
    receiver: Typed, here: FakeService, status: int, words: list[str]
) -> None:
    here.says("POST", "/v1/tasks", Answer(status, b"<html>nginx</html>", {"content-type": "text/html"}))
    said = receiver("submit", "runware", "--prompt", "quiet jazz trio", "--audio", "https://files.example.org/a.mp3")
    assert said.code == 1
    assert [word for word in words if word not in said.err] == []
    assert "nginx<" not in said.err


def test_an_absurd_retry_after_is_not_quoted(receiver: Typed, here: FakeService) -> None:
    here.says("GET", "/v1/tasks", problem(429, "Slow down", retry_after="9" * 5000))
    assert "try again soon" in receiver("tasks").err


def test_an_unknown_task_is_said_to_be_unknown(receiver: Typed, here: FakeService) -> None:
    said = receiver("task", TASK_ID)
    assert said.code == 1
    assert f"no task {TASK_ID}" in said.err


def test_a_redirect_is_not_followed_with_the_key(receiver: Typed, here: FakeService) -> None:
    here.says("GET", "/v1/tasks", Answer(307, None, {"location": f"{here.url}/elsewhere"}))
    here.says("GET", "/elsewhere", NONE)
    said = receiver("tasks")
    assert said.code == 1
    assert "redirects to" in said.err
    assert [asked.path for asked in here.asked] == ["/v1/tasks"]


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, b"<html>Welcome to nginx!</html>"),
        Answer(200, b"[" * 100_000),
        Answer(200, []),
        Answer(200, {}),
        Answer(200, {"data": [{"id": "../../etc/passwd"}]}),
        Answer(200, {"data": [{**task(), "polls": "many"}]}),
        Answer(200, {"data": [{**task(), "polls": True}]}),
        Answer(200, {"data": [{**task(), "created_at": "2026-11-20T10:00:00"}]}),
        Answer(404, b"<html>not found</html>"),
        Answer(418, b"teapot"),
        Answer(204, b""),
    ],
    ids=[
        "page",
        "deep",
        "list",
        "empty",
        "id",
        "text",
        "boolean",
        "naive time",
        "other 404",
        "other 418",
        "no content",
    ],
)
def test_what_no_receiver_says_is_told_as_such(receiver: Typed, here: FakeService, answer: Answer) -> None:
    here.says("GET", "/v1/tasks", answer)
    said = receiver("tasks")
    assert said.code == 1
    assert said.out == ""
    assert "does not speak like a receiver" in said.err


@pytest.mark.parametrize(
    "answer", [None, Answer(200, b"{", {"content-length": "100"}), Answer(502, b"<html>bad gateway</html>")]
)
def test_an_answer_that_does_not_come_is_told_as_such(
    receiver: Typed, here: FakeService, answer: Answer | None
) -> None:
    here.says("GET", "/v1/tasks", answer)
    said = receiver("tasks")
    assert said.code == 1
    assert "did not answer to the end" in said.err or "answered in its place (HTTP 502)" in said.err


@pytest.mark.parametrize("text", ["../tasks?x=1#y", "3f2c81a", "nonsense!"])
def test_what_is_no_id_asks_for_nothing(receiver: Typed, here: FakeService, text: str) -> None:
    said = receiver("task", text)
    assert said.code == 1
    assert f"no task {text}\n  an id, or at least its first 8 characters" in said.err
    assert here.asked == []
