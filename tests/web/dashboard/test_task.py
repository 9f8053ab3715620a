from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from receiver.domain.delivery import Told, concluded
from receiver.domain.endpoint import Endpoint, paused
from receiver.domain.erasure import erase, retire_audio
from receiver.domain.errors import ErrorCode, TaskError
from receiver.domain.event import Event, EventType
from receiver.domain.request import InlineAudio, TaskRequest
from receiver.domain.task import Change, Status, Task, Work
from receiver.lifecycle.ports import Decision, DeliveryFilter, Erasing, TaskFilter
from tests.web.dashboard.browsing import Browser, Element, browsing, tree
from tests.web.dashboard.making import HOSTILE, a_result, called_back, hostile, made, request, succeeded
from tests.web.fakes import BEARER, KEY, World


def measures(page: Element) -> list[str]:
    [shown] = page.find("ol", class_="measures")
    return [each.text for each in shown.find("li")]


async def test_whether_it_was_billed_and_how_it_is_heard_is_answered_on_the_page(
    world: World, browser: Browser
) -> None:
    task = await made(world, status=Status.SUBMITTED, submitted_at=world.system.now(), pushed=True)
    page = await browser.page(f"/tasks/{task.id}")
    assert "runware has taken it and bills it once it is made" in page.find("dd", id="billing")[0].text
    assert "Its callback is still awaited" in page.find("dd", id="hearing")[0].text
    world.ports.schedules.unheard = {"runware": 0.9}
    page = await browser.page(f"/tasks/{task.id}")
    assert "Callbacks of runware fail to come lately" in page.find("dd", id="hearing")[0].text


async def test_whether_the_application_was_told_is_answered_on_the_page(world: World, browser: Browser) -> None:
    task = await succeeded(world)

    async def answer() -> str:
        return (await browser.page(f"/tasks/{task.id}")).find("dd", id="telling")[0].text

    assert await answer() == "Nobody is to be told: no endpoint is named."
    outbox, now = world.ports.store.outbox, world.system.now()
    endpoint = Endpoint(uuid4(), "https://app.example.org/hooks?key=s3cret", now)
    await outbox.add_endpoint(endpoint)
    ended = Event(EventType.TASK_SUCCEEDED, now)
    await world.ports.store.apply([Decision(task.key, lambda same: Change(same, (ended,)))])
    assert await answer() == "Not yet: 1 is on the way."
    await outbox.change_endpoint(endpoint.id, lambda each: paused(each, now))
    assert await answer() == "Not yet: its endpoint was paused by hand, 1 waits until it is resumed."
    [waiting] = await outbox.deliveries(DeliveryFilter(task_id=task.id))
    arrived, event = concluded(waiting, Told(None, 200), now, jitter=0.5)
    await world.ports.store.apply([Decision(task.key, lambda same: Change(same, (event,), delivered=(arrived,)))])
    assert await answer() == "Yes: 1 of 1 notifications arrived."
    await outbox.remove_endpoint(endpoint.id, now)
    assert (await answer()).startswith("Yes, it was once: the steps say when.")


async def test_a_task_of_a_provider_that_is_gone_is_still_told_of(world: World, browser: Browser) -> None:
    asked = request(provider="formerly")
    task = await made(world, request=asked, status=Status.FAILED, submitted_at=world.system.now(), work=None)
    page = await browser.page(f"/tasks/{task.id}")
    assert "Not known: formerly told no cost of it" in page.find("dd", id="billing")[0].text
    assert "formerly never calls back" in page.find("dd", id="hearing")[0].text


async def test_the_page_tells_what_happened_in_one_sentence_and_step_by_step(world: World, browser: Browser) -> None:
    task = await succeeded(world)
    page = await browser.page(f"/tasks/{task.id}")
    assert (
        page.find("p", class_="story")[0].text == "It is done after 31.0 s: 1 of 1 result stored, told by callback."
    )
    assert measures(page) == ["queueing 0.2 s", "sending 0.3 s", "generating 29.5 s", "storing 1.0 s"]
    [steps] = page.find("ol", class_="steps")
    titles = [each.text for each in steps.find("strong")]
    assert titles == [
        "You asked for it",
        "Sent to runware, attempt 1: taken (HTTP 200, 0.3 s)",
        "runware has it",
        "We asked runware",
        "Result 0 became known",
        "The outcome is known",
        "The audio of result 0 is stored",
        "Done",
    ]
    assert "still being made" in steps.text
    assert "9.5 s later" in steps.text
    [drawing] = [each for each in page.find("svg", role="img") if each.attributes.get("aria-label", "")]
    assert "generating 29.5 s" in drawing.attributes["aria-label"]
    assert len(drawing.find("ellipse")) == 5


async def test_a_task_under_way_shows_what_it_waits_for_and_how_long_it_has_so_far(
    world: World, browser: Browser
) -> None:
    now = world.system.now()
    task = await made(
        world, status=Status.SUBMITTED, submitted_at=now, work=Work.POLL, due_at=now + timedelta(minutes=2)
    )
    world.system.passed += 20
    page = await browser.page(f"/tasks/{task.id}")
    assert measures(page)[-1] == "generating 20.0 s so far"
    assert "Now waiting for our next look at runware" in page.text
    assert "in 1 min" in page.text


async def test_a_failure_says_whose_words_it_is(world: World, browser: Browser) -> None:
    error = TaskError(ErrorCode.MODERATION, "not this song", provider_code="contentPolicyViolation")
    task = await made(world, status=Status.FAILED, completed_at=world.system.now(), errors=(error,))
    page = await browser.page(f"/tasks/{task.id}")
    assert "moderation: not this song (runware says contentPolicyViolation)" in page.text


async def test_a_result_that_was_stored_at_a_later_try_says_so_with_the_last_fault(
    world: World, browser: Browser
) -> None:
    assert "at try" not in (await browser.page(f"/tasks/{(await succeeded(world)).id}")).text
    result = a_result(world, audio=b"ID3 not really music")
    told = {"result_id": str(result.id), "bytes": 20, "tries": 4, "last_fault": "looks like HTML, not audio"}
    stored = Event(EventType.RESULT_STORED, world.system.now(), told)
    task = await made(world, stored, status=Status.SUCCEEDED, results=(result,))
    page = await browser.page(f"/tasks/{task.id}")
    said = "stored at try 4, the last fault: looks like HTML, not audio"
    assert f"It was {said} ." in page.find("li", id=f"result-{result.id}")[0].text
    assert f"20 B; {said}" in page.find("ol", class_="steps")[0].text


async def test_an_adopted_id_that_the_provider_does_not_know_is_not_said_to_be_made_there(
    world: World, browser: Browser
) -> None:
    asked = TaskRequest("aimlapi", prompt="", reference_audio="")
    now = world.system.now()
    submitted = Event(EventType.TASK_SUBMITTED, now, {"provider_task_id": "nosuchid"})
    fields = {"request": asked, "submitted_at": now, "work": Work.POLL, "due_at": now, "polls": 124}
    task = await made(world, submitted, status=Status.SUBMITTED, **fields)
    page = await browser.page(f"/tasks/{task.id}")
    assert page.find("p", class_="story")[0].text == "aimlapi has shown no trace of it."
    assert "aimlapi does not know this id (asked 124 times): check it, or cancel" in page.text
    assert page.find("dd", id="billing")[0].text.startswith("Not known:")
    assert "has it" not in page.find("ol", class_="steps")[0].text


def alarms(page: Element) -> list[str]:
    return [each.text for each in page.find("p", class_="notice bad") if "hidden" not in each.attributes]


def erased(world: World, task: Task) -> Erasing:
    return Erasing(erase(task, world.system.now()), {})


async def husk(world: World, task: Task) -> None:
    assert await world.ports.store.erase([task.key], lambda now: erased(world, now)) == (1, [])


async def test_an_erased_task_tells_calmly_what_is_still_known(world: World, browser: Browser) -> None:
    task = await succeeded(world)
    await husk(world, task)
    page = await browser.page(f"/tasks/{task.id}")
    assert page.find("h1")[0].text == "An erased task"
    assert page.find("p", class_="story")[0].text == "It was done after 31.0 s, told by callback."
    assert "Its words and its audio were erased just now , for good." in page.find("p", id="erased")[0].text
    known = page.find("section")[-1].text
    assert all(label in known for label in ("What is still known", "made", "ended", "erased", "$0.15"))
    assert "Our own looks told." in page.find("dd", id="hearing")[0].text
    assert [each.text for each in page.find("ol", class_="steps")[0].find("strong")] == [
        "You asked for it",
        "Sent to runware",
        "runware has it",
        "We asked runware",
        "A result became known",
        "The outcome is known",
        "The audio of a result is stored",
        "Done",
        "Erased",
    ]
    assert "None" not in page.text
    assert "dopted" not in page.text
    assert "nothing new" not in page.text
    assert "elsewhere" not in page.text
    assert not alarms(page)
    assert not page.find("main")[0].find("g", class_="cross")
    assert "Its audio was erased." in page.text
    row = (await browser.page("/tasks")).find("tr", id=f"task-{task.id}")[0]
    assert "An erased task erased just now" in row.text


async def test_the_errors_of_an_erased_task_are_named_by_their_kind_alone(world: World, browser: Browser) -> None:
    error = TaskError(ErrorCode.MODERATION, "not this song", provider_code="contentPolicyViolation")
    task = await made(world, status=Status.FAILED, completed_at=world.system.now(), errors=(error,))
    await husk(world, task)
    page = await browser.page(f"/tasks/{task.id}")
    assert "It ended with an error of the kind moderation ; what was said of it is erased." in page.text
    assert not alarms(page)
    world.system.passed += 60
    overview = await browser.page("/")
    assert "An erased task failed runware: erased" in overview.text


async def test_audio_that_was_let_go_after_its_time_was_stored_once_and_is_no_alarm(
    world: World, browser: Browser
) -> None:
    task = await succeeded(world)
    later = world.system.now() + timedelta(days=1)
    letting_go = retire_audio(task, later, later)
    assert letting_go is not None
    await world.ports.store.apply([Decision(task.key, lambda _: letting_go)])
    page = await browser.page(f"/tasks/{task.id}")
    assert "1 of 1 result stored" in page.find("p", class_="story")[0].text
    assert "Its audio was erased; it was 12.3 s long." in page.text
    assert not alarms(page)


@pytest.mark.parametrize("status", list(Status))
async def test_every_state_has_a_sentence_and_a_drawing(world: World, browser: Browser, status: Status) -> None:
    done = {"completed_at": world.system.now()} if status.terminal else {}
    task = await made(world, status=status, **done)
    page = await browser.page(f"/tasks/{task.id}")
    assert page.find("p", class_="story")[0].text
    assert measures(page)
    acts = {each.text for each in [*page.find("a", class_="button"), *page.find("button")]}
    assert {"Look now", "Cancel…"} <= acts or status.terminal
    assert {"Look now", "Cancel…"}.isdisjoint(acts) or not status.terminal


async def test_the_audio_is_played_and_saved_with_the_session_alone(world: World, browser: Browser) -> None:
    task = await succeeded(world)
    page = await browser.page(f"/tasks/{task.id}")
    [player] = page.find("audio")
    address = player.attributes["src"]
    assert "token" not in address
    answer = await browser.get(address, Range="bytes=0-2")
    assert (answer.status_code, answer.content) == (206, b"ID3")
    assert answer.headers["content-security-policy"] == "sandbox; default-src 'none'"
    assert answer.headers["cache-control"] == "private, no-cache"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    browser.http.cookies.clear()
    assert (await browser.get(address)).status_code == 303
    # The interface for programs takes no session, and the page no key.
    assert (await browser.get(f"/v1{address}")).status_code == 401


async def test_what_a_provider_said_is_one_click_away(world: World, browser: Browser) -> None:
    task = await made(world, status=Status.SUBMITTED)
    report_id = await called_back(world, task, b'{"a":1}')
    page = await browser.page(f"/tasks/{task.id}")
    assert page.find("a", href=f"/reports/{report_id}")
    assert "runware called back" in page.text


async def test_what_was_asked_for_is_shown_as_it_was_sent(world: World, browser: Browser) -> None:
    asked = request(lyrics="one\ntwo", upload_endpoint="https://up.example.org/x?key=secret", seed=7)
    task = await made(world, request=asked, metadata={"song": "42 & more"})
    page = await browser.page(f"/tasks/{task.id}")
    assert "one two" in page.text
    assert "secret" not in page.text
    [link] = [each for each in page.find("a") if each.text == "42 & more"]
    assert (await browser.get(link.attributes["href"])).text.count(f"/tasks/{task.id}") == 1
    [reference] = page.find("a", href="https://files.example.org/in.mp3")
    assert reference.attributes["rel"] == "noreferrer noopener"


async def test_looking_now_makes_the_task_due(world: World, browser: Browser) -> None:
    task = await made(world, status=Status.SUBMITTED, work=Work.POLL, due_at=world.system.now() + timedelta(hours=1))
    answer = await browser.act(f"/tasks/{task.id}/refresh")
    assert answer.headers["location"] == f"/tasks/{task.id}?done=refreshed"
    assert "It is looked at now." in (await browser.page(answer.headers["location"])).text
    found = await world.ports.store.task(task.id)
    assert found is not None
    assert found.due_at == world.system.now()


async def test_cancelling_is_asked_twice_and_says_what_it_does_not_do(world: World, browser: Browser) -> None:
    task = await made(world, status=Status.SUBMITTED)
    page = await browser.page(f"/tasks/{task.id}/cancel")
    assert "runware is not told" in page.text
    assert "bills" in page.text
    answer = await browser.act(f"/tasks/{task.id}/cancel")
    assert answer.headers["location"] == f"/tasks/{task.id}?done=cancelled"
    found = await world.ports.store.task(task.id)
    assert found is not None
    assert found.status is Status.CANCELLED


async def test_a_task_that_has_ended_cannot_be_cancelled_any_more(world: World, browser: Browser) -> None:
    task = await succeeded(world)
    for action in ("cancel", "refresh"):
        answer = await browser.act(f"/tasks/{task.id}/{action}")
        assert answer.status_code == 409
        assert "already ended" in tree(answer).text


async def test_asking_again_says_that_it_is_billed_and_makes_one_new_task(world: World, browser: Browser) -> None:
    task = await succeeded(world, metadata={"song": "42"}, told_cost_micros=150_000)
    page = await browser.page(f"/tasks/{task.id}/again")
    assert "will bill a new generation; this one cost $0.15" in page.text
    [form] = [each for each in page.find("form") if each.attributes["action"].endswith("/again")]
    fields = {each.attributes["name"]: each.attributes["value"] for each in form.find("input")}
    first = await browser.post(form.attributes["action"], fields)
    # Sent twice by an impatient hand.
    second = await browser.post(form.attributes["action"], fields)
    assert first.headers["location"] == second.headers["location"]
    tasks = await world.ports.store.tasks(TaskFilter())
    assert len(tasks) == 2
    assert first.headers["location"] == f"/tasks/{tasks[0].id}?done=again"
    assert replace(tasks[0].request, model=None) == replace(task.request, model=None)
    assert (tasks[0].status, tasks[0].metadata) == (Status.QUEUED, {"song": "42"})


async def test_asking_again_takes_the_reference_along_that_lies_here(world: World, browser: Browser) -> None:
    sent = b"aGVsbG8gd29ybGQh" * 100
    world.objects.kept["inputs/x"] = sent
    asked = request(reference_audio=InlineAudio("inputs/x", "ab" * 32, 11))
    task = await made(world, request=asked)
    answer = await browser.act(f"/tasks/{task.id}/again", once="1")
    assert answer.status_code == 303
    [made_again] = await world.ports.store.tasks(TaskFilter(limit=1))
    reference = made_again.request.reference_audio
    assert isinstance(reference, InlineAudio)
    assert reference.object_key != "inputs/x"
    assert world.objects.kept[reference.object_key] == sent
    del world.objects.kept["inputs/x"]
    answer = await browser.act(f"/tasks/{task.id}/again", once="2")
    assert answer.status_code == 409
    assert "not kept any more" in tree(answer).text


async def test_what_the_provider_would_refuse_today_is_told(world: World, browser: Browser) -> None:
    task = await made(world, request=request(prompt="short"))
    answer = await browser.act(f"/tasks/{task.id}/again")
    assert answer.status_code == 422
    assert "prompt: must have 10 to 300 characters" in tree(answer).text


async def test_an_adopted_generation_cannot_be_asked_for_again(world: World, browser: Browser) -> None:
    task = await made(world, request=request(prompt="", reference_audio="", model=""), model="")
    page = await browser.page(f"/tasks/{task.id}")
    assert "An adopted generation" in page.find("h1")[0].text
    assert (await browser.get(f"/tasks/{task.id}/again")).status_code == 409


async def test_a_task_that_is_not_there_is_a_page_that_says_so(browser: Browser) -> None:
    for path in (
        f"/tasks/{uuid4()}",
        "/tasks/nonsense",
        f"/tasks/{uuid4()}/cancel",
        f"/tasks/{uuid4()}/results/x/audio",
    ):
        answer = await browser.get(path)
        assert (answer.status_code, "There is nothing here" in answer.text) == (404, True), path


@pytest.mark.parametrize("words", HOSTILE, ids=["script", "quote", "template", "bidi", "long", "entity"])
async def test_what_strangers_write_is_text_and_nothing_else(world: World, browser: Browser, words: str) -> None:
    task = await hostile(world, words)
    harmless = await hostile(world, "harmless")
    again = {"/again", "/replay"}
    for path in ("/", "/tasks", *(f"/tasks/{task.id}{more}" for more in ("", *again))):
        answer = await browser.get(path)
        page = tree(answer)
        assert page.find("img") == []
        assert page.find("b") == []
        assert [each for each in page.find("script") if "src" not in each.attributes] == []
        assert [link for each in page.find("a") if (link := each.attributes["href"]).startswith("javascript")] == []
        assert "49" not in page.find("title")[0].text
        assert len(answer.content) < 100_000, path
    shape = [each.tag for each in (await browser.page(f"/tasks/{task.id}")).walk() if each.tag not in {"a", "wbr"}]
    usual = [
        each.tag for each in (await browser.page(f"/tasks/{harmless.id}")).walk() if each.tag not in {"a", "wbr"}
    ]
    assert shape == usual


async def test_our_own_tokens_and_keys_are_cut_out_of_every_page(world: World, browser: Browser) -> None:
    token = world.token(uuid4())
    url = f"https://hooks.example.org/callbacks/runware/{token}"
    for words in (KEY, url, f"{token} and {KEY}"):
        task = await hostile(world, words)
        for path in ("/", "/tasks", f"/tasks/{task.id}", f"/tasks/{task.id}/again", f"/tasks/{task.id}/cancel"):
            text = (await browser.get(path)).text
            assert (KEY in text, token in text) == (False, False), path


async def test_a_provider_that_answered_and_left_it_open_is_not_said_to_have_been_silent(
    world: World, browser: Browser
) -> None:
    data = {"attempt": 1, "outcome": "unclear", "http_status": 503, "seconds": 0.3}
    event = Event(EventType.ATTEMPT_MADE, world.system.now(), data)
    page = await browser.page(f"/tasks/{(await made(world, event, status=Status.UNKNOWN)).id}")
    assert "attempt 1: it answered 503, unclear whether it took it (" in page.text
    assert "the answer was lost" not in page.text


async def test_what_was_told_is_told_again_by_hand(world: World, browser: Browser) -> None:
    at = world.system.now()
    data = {"of": "task.succeeded", "attempts": 2, "status_code": 500, "error": "status", "next_attempt_at": "12:05"}
    task = await made(world, Event(EventType.DELIVERY_FAILED, at, data), status=Status.SUCCEEDED, completed_at=at)
    page = await browser.page(f"/tasks/{task.id}")
    assert "task.succeeded, attempt 2, the endpoint answered 500, next at 12:05" in page.text
    [form] = [each for each in page.find("form") if each.attributes["action"].endswith("/redeliver")]
    answer = await browser.act(form.attributes["action"])
    assert answer.headers["location"] == f"/tasks/{task.id}?done=nothing"
    assert "There was nothing to tell again" in (await browser.page(answer.headers["location"])).text


async def test_a_word_without_an_end_is_cut_with_its_beginning_kept(world: World, browser: Browser) -> None:
    task = await made(world, request=request(prompt="w" * 5000))
    [heading] = (await browser.page(f"/tasks/{task.id}")).find("h1")
    assert heading.text == "w" * 179 + "…"


async def test_a_player_is_never_sent_to_the_bucket(world: World) -> None:
    task = await succeeded(world)
    world.objects.bucket = "https://bucket.example.org"
    address = f"/tasks/{task.id}/results/{task.results[0].id}/audio"
    async with browsing(world, download_link_seconds=60) as browser:
        await browser.sign_in()
        answer = await browser.get(address)
        assert (answer.status_code, answer.content) == (200, b"ID3 not really music")
        by_key = await browser.http.get(f"/v1{address}", headers=BEARER)
    assert by_key.status_code == 302
