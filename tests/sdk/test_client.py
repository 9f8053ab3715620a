import io
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime

import pytest

from receiver import sdk
from receiver.sdk import Client
from tests.cli.fake_service import (
    AUDIO,
    KEY,
    RESULT_ID,
    TASK_ID,
    Answer,
    FakeService,
    problem,
    result,
    serving,
    succeeded,
    task,
)

TASK = f"/v1/tasks/{TASK_ID}"


@pytest.fixture
def service() -> Iterator[FakeService]:
    with serving() as fake:
        yield fake


@pytest.fixture
async def client(service: FakeService) -> AsyncIterator[Client]:
    async with Client(service.url, api_key=KEY, timeout_seconds=5) as connected:
        yield connected


async def test_an_id_with_slashes_asks_for_nothing_else(client: Client, service: FakeService) -> None:
    with pytest.raises(sdk.NotFoundError):
        await client.task("../tasks?x=1#y")
    assert [asked.path for asked in service.asked] == ["/v1/tasks/..%2Ftasks%3Fx%3D1%23y"]


async def test_a_task_is_read_with_everything_the_service_says(client: Client, service: FakeService) -> None:
    error = {"code": "moderation", "message": "no", "retryable": True, "provider_code": None}
    document = succeeded(
        errors=[error], warnings=[{"field": "prompt", "message": "long"}], request={"count": 4}, new_field={"x": 1}
    )
    service.says("GET", TASK, Answer(200, document))
    read = await client.task(TASK_ID)
    assert (read.id, read.status, read.ended, read.expected) == (TASK_ID, "succeeded", True, 4)
    assert read.completed_at == datetime(2026, 11, 20, 10, 0, 25, tzinfo=UTC)
    assert read.errors == (sdk.TaskError("moderation", "no", retryable=True, provider_code=None),)
    assert read.warnings == (sdk.Remark("prompt", "long"),)
    assert [each.via for each in read.results] == ["callback"]
    assert read.results[0].artifact.size == len(AUDIO)
    assert read.document == document


async def test_what_is_waited_for_may_be_absent_null_or_there(client: Client, service: FakeService) -> None:
    waiting = {"for": "retry", "message": "why", "until": "2026-11-20T10:00:25Z"}
    service.says(
        "GET", TASK, Answer(200, task()), Answer(200, task(waiting=None)), Answer(200, task(waiting=waiting))
    )
    assert (await client.task(TASK_ID)).waiting is None
    assert (await client.task(TASK_ID)).waiting is None
    until = datetime(2026, 11, 20, 10, 0, 25, tzinfo=UTC)
    assert (await client.task(TASK_ID)).waiting == sdk.Waiting("retry", "why", until)


async def test_a_task_is_cancelled_and_refreshed_unless_it_has_ended(client: Client, service: FakeService) -> None:
    service.says("POST", f"{TASK}/cancel", Answer(200, task("cancelled")))
    service.says("POST", f"{TASK}/refresh", problem(409, "The task has already ended"))
    assert (await client.cancel(TASK_ID)).status == "cancelled"
    with pytest.raises(sdk.ConflictError):
        await client.refresh(TASK_ID)


@pytest.mark.parametrize(
    ("status", "ended"),
    [("queued", False), ("submitted", False), ("unknown", False), ("collecting", False), ("invented", False)]
    + [(status, True) for status in ("succeeded", "partial", "failed", "lost", "cancelled")],
)
async def test_only_a_terminal_status_has_ended(
    client: Client, service: FakeService, status: str, ended: bool
) -> None:
    service.says("GET", TASK, Answer(200, task(status)))
    assert (await client.task(TASK_ID)).ended is ended


async def test_waiting_is_left_to_the_service_and_outlasts_the_usual_patience(
    client: Client, service: FakeService
) -> None:
    service.says("GET", TASK, Answer(200, task()))
    await client.task(TASK_ID, wait_seconds=30)
    await client.task(TASK_ID)
    assert [asked.query for asked in service.asked] == [{"wait": ["30"]}, {}]


async def test_a_submit_is_json_with_its_idempotency_key(client: Client, service: FakeService) -> None:
    service.says("POST", "/v1/tasks", Answer(202, task()))
    await client.submit({"provider": "runware", "prompt": "é"}, idempotency_key="mine")
    (asked,) = service.asked
    assert asked.headers["content-type"] == "application/json"
    assert asked.headers["idempotency-key"] == "mine"
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert asked.body == b'{"provider": "runware", "prompt": "\\u00e9"}'


async def test_a_base_path_is_kept(service: FakeService) -> None:
    service.says("GET", f"/music{TASK}", Answer(200, task()))
    async with Client(f"{service.url}/music/", api_key=KEY) as client:
        assert (await client.task(TASK_ID)).id == TASK_ID


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, sdk.InvalidRequestError),
        (401, sdk.UnauthorizedError),
        (403, sdk.UnauthorizedError),
        (404, sdk.NotFoundError),
        (405, sdk.ProblemError),
        (409, sdk.ConflictError),
        (413, sdk.InvalidRequestError),
        (415, sdk.InvalidRequestError),
        (422, sdk.InvalidRequestError),
        (429, sdk.TooManyRequestsError),
        (500, sdk.UnavailableError),
        (503, sdk.UnavailableError),
    ],
)
async def test_a_refusal_carries_its_problem(
    client: Client, service: FakeService, status: int, kind: type[sdk.ProblemError]
) -> None:
    said = problem(status, "No", detail="because", errors=[{"field": "a", "message": "b"}], retry_after="7")
    service.says("GET", TASK, said)
    with pytest.raises(sdk.ProblemError) as caught:
        await client.task(TASK_ID)
    assert type(caught.value) is kind
    assert str(caught.value) == "No: because"
    assert caught.value.remarks == (sdk.Remark("a", "b"),)
    assert caught.value.retry_after_seconds == 7
    assert caught.value.document == said.body


async def test_a_refusal_whose_detail_repeats_its_title_says_it_once(client: Client, service: FakeService) -> None:
    service.says("GET", TASK, problem(409, "The task has already ended"))
    with pytest.raises(sdk.ConflictError, match=r"^The task has already ended$"):
        await client.task(TASK_ID)


async def test_a_service_that_says_nothing_in_time_has_lost_its_answer(service: FakeService) -> None:
    service.says("GET", TASK, Answer(200, b"{", {"content-length": "10"}))
    async with Client(service.url, api_key=KEY, timeout_seconds=0.2) as client:
        with pytest.raises(sdk.AnswerLostError):
            await client.task(TASK_ID)


async def test_nobody_there_means_that_nothing_was_sent() -> None:
    async with Client("http://127.0.0.1:1", api_key=KEY) as client:
        with pytest.raises(sdk.UnreachableError, match=r"^nobody answers at http://127\.0\.0\.1:1: \S") as raised:
            await client.task(TASK_ID)
    assert raised.value.address == "http://127.0.0.1:1"
    assert KEY not in str(raised.value)


async def test_audio_is_written_as_it_comes(client: Client, service: FakeService) -> None:
    service.says("GET", f"{TASK}/results/{RESULT_ID}/audio", Answer(200, AUDIO))
    service.says("GET", TASK, Answer(200, succeeded()))
    read = await client.task(TASK_ID)
    into = io.BytesIO()
    await client.download(read, read.results[0], into)
    assert into.getvalue() == AUDIO


async def test_audio_that_is_not_stored_is_not_asked_for(client: Client, service: FakeService) -> None:
    service.says("GET", TASK, Answer(200, succeeded(results=[result("pending")])))
    read = await client.task(TASK_ID)
    with pytest.raises(sdk.DownloadError, match="pending"):
        await client.download(read, read.results[0], io.BytesIO())
    assert len(service.asked) == 1


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://127.0.0.1:8080", True),
        ("http://127.9.9.9", True),
        ("http://[::1]:8080/base", True),
        ("http://localhost", True),
        ("HTTPS://receiver.example", False),
        ("https://127.0.0.1", True),
    ],
)
def test_an_address_is_here_or_elsewhere(url: str, local: bool) -> None:
    assert sdk.checked_address(url) is local


@pytest.mark.parametrize(
    "url",
    [
        "http://receiver.example",
        "http://10.0.0.1",
        "http://[::ffff:127.0.0.1]",
        "http://127.0.0.1@evil.example",
        "http://127.0.0.1\\@evil.example",
        "http://127.1",
        "https://x:y@z",
        "https://x/?y",
        "https://x/#y",
        "https://x:99999",
        "https://[x",
        "https://x\n",
        "ws://127.0.0.1",
        "127.0.0.1:8080",
        "",
    ],
)
def test_no_key_goes_to_a_doubtful_address(url: str) -> None:
    with pytest.raises(sdk.UnsafeAddressError):
        Client(url, api_key=KEY)


@pytest.mark.parametrize("key", ["", "a b", "a\r\nb", "ключ", "a\x00"])
def test_a_key_that_no_header_can_hold_is_refused_without_being_quoted(key: str) -> None:
    with pytest.raises(sdk.UnsafeAddressError) as caught:
        Client(api_key=key)
    assert not key or key not in str(caught.value)
