"""Every page in a browser: for everybody, without a word of protest, whatever strangers wrote."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Literal

import httpx
import pytest
from playwright.sync_api import Browser

from tests.browser.chromium import NARROW, Visitor, assert_accessible, visiting
from tests.harness import API_KEY, Stack, running, wait_until

SECRET = API_KEY.partition(":")[2]
#: Would run, break out of an attribute, turn the direction of what follows, be filled in, or not fit.
HOSTILE = (
    "<script>window.hacked=1</script><img src=x onerror=window.hacked=1>"
    '" onfocus="window.hacked=1" autofocus="\' javascript:window.hacked=1 {{ 7*7 }} \u202etxt.3pm\u2066 '
) + "W" * 90
PAGES = {
    "overview": "/",
    "overview of a week": "/?over=week",
    "tasks": "/tasks",
    "callbacks": "/reports",
    "callbacks set aside": "/reports?show=aside",
    "deliveries": "/deliveries",
    "deliveries again": "/deliveries/redrive",
    "another endpoint": "/deliveries/endpoints",
    "providers": "/providers",
}
#: Where the first link of a kind leads, or the first of another kind on that page.
LINKED = {
    "a task": ("/tasks?status=succeeded", 'main a[href*="/tasks/"]'),
    "a failed task": ("/tasks?status=failed", 'main a[href*="/tasks/"]'),
    "a new secret": ("/deliveries", 'main a[href*="/rotate"]'),
    "a callback": ("/reports?show=aside", 'main a[href*="/reports/"]'),
    "what was sent": ("/tasks?status=failed", 'main a[href*="/tasks/"]', 'main a[href*="/attempts/"]'),
    "an endpoint taken away": ("/deliveries", 'main a[href*="/remove"]'),
    "a task again": ("/tasks?status=failed", 'main a[href*="/tasks/"]', 'main a[href$="/again"]'),
}
Kind = Literal["light", "dark", "narrow", "plain"]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A service in whose every text a stranger had a hand: who asked, who answered, who called back."""
    settings = {"RECEIVER_RUNWARE_FIRST_POLL_SECONDS": "0.5", "RECEIVER_AIMLAPI_POLL_SECONDS": "0.3"}
    with running(tmp_path_factory.mktemp("pages"), settings=settings) as stack:
        hostile = {
            "prompt": HOSTILE,
            "lyrics": HOSTILE,
            "metadata": {"<b>name</b>": HOSTILE, "user": "W" * 300},
            "reference_audio": f"https://files.example.org/{'w' * 200}.mp3",
        }
        stack.faults(malformed=1.0)
        told = stack.submit("runware", **hostile)["id"]
        stack.faults(fail=1.0, fail_code=HOSTILE[:60])
        failed = [stack.submit(name, **hostile)["id"] for name in ("runware", "aimlapi")]
        stack.faults(models="any")
        other = stack.submit("runware", **hostile, model="<i>other</i>" + "w" * 80, provider_options={"x": HOSTILE})
        for task_id in (told, *failed, other["id"]):
            stack.wait_for(task_id)
        _call_back_as_a_stranger(stack)
        stack.post(
            "/v1/endpoints", {"url": f"{stack.service.url}/{'w' * 200}?key='><script>window.hacked=1</script>"}
        )
        yield stack


def _call_back_as_a_stranger(stack: Stack) -> None:
    url = next(entry["webhook_url"] for entry in stack.ledger() if entry["webhook_url"])
    body = {"data": [{"taskType": "audioInference", "status": HOSTILE}]}
    httpx.post(url, json=body, headers={"Content-Type": "text/html; x=<script>window.hacked=1</script>"})
    httpx.post(f"{stack.service.url}/callbacks/runware/{'A' * 70}", content=HOSTILE.encode())
    wait_until(lambda: "hacked" in _reasons(stack), 20, "the stranger's callback was set aside")


def _reasons(stack: Stack) -> str:
    ids = [task["id"] for task in stack.tasks()]
    return str([stack.get(f"/v1/tasks/{task_id}/reports").json() for task_id in ids])


@pytest.fixture(scope="module")
def visitors(browser: Browser, stack: Stack) -> Iterator[dict[Kind, Visitor]]:
    """Four who are signed in: by day, by night, on a telephone, and without scripts."""
    with ExitStack() as windows:
        opened: dict[Kind, Visitor] = {
            "light": windows.enter_context(visiting(browser, stack.service.url)),
            "dark": windows.enter_context(visiting(browser, stack.service.url, colours="dark")),
            "narrow": windows.enter_context(visiting(browser, stack.service.url, size=NARROW)),
            "plain": windows.enter_context(visiting(browser, stack.service.url, script=False)),
        }
        for visitor in opened.values():
            visitor.sign_in(SECRET)
            visitor.assert_clean()
        yield opened


@pytest.fixture(params=[*PAGES, *LINKED])
def place(request: pytest.FixtureRequest, visitors: dict[Kind, Visitor]) -> str:
    """The path of each page, one after another."""
    if request.param in PAGES:
        return PAGES[request.param]
    path, *kinds = LINKED[request.param]
    plain = visitors["plain"]
    for kind in kinds:
        plain.go(path)
        links = plain.page.locator(kind)
        assert links.count(), f"{path} leads nowhere"
        path = str(links.first.get_attribute("href"))
    return path


def arrive(visitor: Visitor, place: str) -> None:
    """Open a page; what went wrong on the one before was told there."""
    visitor.faults.clear()
    assert visitor.go(place) == 200


def test_everybody_can_use_a_page_and_the_browser_has_nothing_to_say(
    visitors: dict[Kind, Visitor], place: str
) -> None:
    for kind in ("light", "dark"):
        visitor = visitors[kind]
        arrive(visitor, place)
        assert_accessible(visitor)
        visitor.assert_clean()


def test_what_strangers_wrote_is_shown_and_nothing_else_comes_of_it(
    visitors: dict[Kind, Visitor], place: str
) -> None:
    visitor = visitors["narrow"]
    arrive(visitor, place)
    assert visitor.width_beyond() == 0
    assert visitor.page.evaluate("window.hacked") is None
    assert visitor.page.locator("main script, main img, main i:not(.legend i), main b").count() == 0
    visitor.assert_clean()


def test_a_page_says_all_it_has_to_say_without_scripts(visitors: dict[Kind, Visitor], place: str) -> None:
    with_scripts, without = visitors["light"], visitors["plain"]
    arrive(without, place)
    arrive(with_scripts, place)
    assert headings(without) == headings(with_scripts)
    without.assert_clean()


def headings(visitor: Visitor) -> list[str]:
    """Return what the parts of a page are called, without the box that marks all, which works by a script alone."""
    found = visitor.page.locator("main h1, main h2, main th").all_inner_texts()
    return [text.removesuffix("\nall") for text in found]


def test_the_door_and_a_wrong_key_can_be_used_by_everybody(browser: Browser, stack: Stack) -> None:
    with visiting(browser, stack.service.url) as visitor:
        visitor.expected = ("/login", "/nowhere")
        visitor.go("/login")
        assert_accessible(visitor)
        visitor.page.get_by_label("API key").fill(HOSTILE)
        visitor.page.get_by_role("button", name="Sign in").click()
        visitor.page.get_by_role("alert").wait_for()
        assert_accessible(visitor)
        visitor.go("/nowhere")
        assert_accessible(visitor)
        visitor.assert_clean()


def test_the_first_page_is_small(browser: Browser, stack: Stack) -> None:
    with visiting(browser, stack.service.url) as visitor:
        visitor.sign_in(SECRET)
        visitor.page.wait_for_load_state("networkidle")
        # The way in, the page, its style and its scripts.
        assert 10_000 < visitor.received < 100_000


def test_no_answer_of_a_page_can_be_kept_or_framed(stack: Stack) -> None:
    answer = httpx.get(f"{stack.service.url}/login", headers={"Accept": "text/html"})
    assert answer.headers["cache-control"] == "no-store"
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
