"""The way of a person through the pages: watch a song come, hear it, find out why another did not, and try again."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from playwright.sync_api import Browser, Locator, Page

from tests.browser.chromium import Visitor, visiting
from tests.harness import API_KEY, Stack, running, wait_until

SECRET = API_KEY.partition(":")[2]
#: More presses than any of the pages has places to stop at.
_MOST_TABS = 150
Use = Callable[[Locator], None]


class _Application(BaseHTTPRequestHandler):
    """The user's application: its answer is that of the server."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        assert isinstance(self.server, Listener)
        self.server.heard.append(str(self.headers["webhook-id"]))
        self.send_response(self.server.answer)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's own name for it
        """Say nothing."""


class Listener(ThreadingHTTPServer):
    """Hears notifications and answers with ``answer``."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Application)
        self.answer = 204
        self.heard: list[str] = []


@pytest.fixture(scope="module")
def listener() -> Iterator[Listener]:
    listener = Listener()
    thread = Thread(target=partial(listener.serve_forever, 0.02))
    thread.start()
    yield listener
    listener.shutdown()
    thread.join()
    listener.server_close()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("walk"), settings={"RECEIVER_ALLOWED_PRIVATE_HOSTS": "127.0.0.1"}) as stack:
        yield stack


def by_mouse(target: Locator) -> None:
    """Point at something and click; at a player where its button is."""
    if target.evaluate("element => element.matches('audio')"):
        box = target.bounding_box()
        assert box is not None
        target.click(position={"x": 22, "y": box["height"] / 2})
    else:
        target.click()


def by_keyboard(target: Locator) -> None:
    """Go from stop to stop until there, and press what a person would press."""
    keyboard = target.page.keyboard
    for _ in range(_MOST_TABS):
        if target.evaluate("element => element === document.activeElement"):
            keyboard.press("Space" if target.evaluate("element => element.matches('audio')") else "Enter")
            return
        keyboard.press("Tab")
    raise AssertionError(f"{target} is no place that the keyboard comes to")


@pytest.fixture(params=[by_mouse, by_keyboard], ids=["mouse", "keyboard"])
def use(request: pytest.FixtureRequest) -> Use:
    found: Use = request.param
    return found


@pytest.fixture
def visitor(browser: Browser, stack: Stack, use: Use) -> Iterator[Visitor]:
    """Somebody who has signed in with what the hand at test holds."""
    with ExitStack() as windows:
        visitor = windows.enter_context(visiting(browser, stack.service.url))
        visitor.go("/login")
        visitor.page.get_by_label("API key").focus()
        visitor.page.keyboard.type(SECRET)
        use(visitor.page.get_by_role("button", name="Sign in"))
        visitor.page.get_by_role("heading", name="Overview").wait_for()
        yield visitor
        visitor.assert_clean()


def state(page: Page, word: str) -> Locator:
    return page.locator(f"main .status.{word}").first


def test_a_song_is_watched_as_it_comes_and_heard(stack: Stack, visitor: Visitor, use: Use) -> None:
    stack.faults(seconds=[2.0, 3.0])
    prompt = f"a song to be watched, {use.__name__}"
    stack.submit("runware", prompt=prompt)
    page = visitor.page
    use(page.get_by_role("link", name="Tasks", exact=True))
    use(page.get_by_role("link", name=prompt))
    page.get_by_role("heading", name=prompt).wait_for()
    # Gone, were the page loaded anew.
    page.evaluate("window.stayed = true")
    state(page, "succeeded").wait_for()
    page.locator("audio").wait_for()
    use(page.locator("audio"))
    wait_until(lambda: page.locator("audio").evaluate("player => player.currentTime") > 0.1, 60, "it is heard")
    assert page.evaluate("window.stayed")


def test_why_a_song_did_not_come_is_found_and_it_is_asked_for_again(stack: Stack, visitor: Visitor, use: Use) -> None:
    stack.faults(fail=1.0, fail_code="contentPolicyViolation")
    prompt = f"a song that will not come, {use.__name__}"
    failed = stack.submit("runware", prompt=prompt)["id"]
    stack.wait_for(failed, "failed")
    stack.faults()
    page = visitor.page
    page.reload()
    use(page.get_by_role("link", name=prompt))
    state(page, "failed").wait_for()
    assert "moderation" in page.locator("main header .notice").first.inner_text()
    use(page.get_by_role("link", name="Ask again…"))
    use(page.get_by_role("button", name="Ask again, and be billed"))
    page.wait_for_url(lambda url: "/tasks/" in url and failed not in url)
    state(page, "succeeded").wait_for()


def test_what_an_application_did_not_take_is_found_and_sent_again(
    stack: Stack, visitor: Visitor, use: Use, listener: Listener
) -> None:
    url = f"http://127.0.0.1:{listener.server_port}/{use.__name__}"
    listener.answer, listener.heard = 410, []
    made = stack.post("/v1/endpoints", {"url": url, "types": ["task.succeeded"]})
    assert made.status_code == 201, made.text
    stack.faults()
    stack.wait_for(stack.submit("runware", prompt="a song that somebody is told of")["id"])
    wait_until(lambda: bool(dead(stack, made.json()["id"])), 60, "the delivery is dead")
    listener.answer = 204
    page = visitor.page
    use(page.get_by_role("link", name="Deliveries"))
    send_again(page, use, url, listener)
    page.locator("main tr", has_text="arrived").first.wait_for()
    stack.http.delete(f"{stack.service.url}/v1/endpoints/{made.json()['id']}", headers=stack.headers())


def send_again(page: Page, use: Use, url: str, listener: Listener) -> None:
    """On the page of deliveries: take up an endpoint that answered 410, and send it what was given up."""
    card = page.get_by_role("article", name=url)
    assert "410" in card.inner_text()
    use(card.get_by_role("button", name="Resume"))
    page.get_by_text("It is sent to again").wait_for()
    use(page.get_by_role("article", name=url).get_by_role("link", name="Send the dead again…"))
    use(page.get_by_role("button", name="Send them again"))
    page.get_by_text("1 delivery on the way again").wait_for()
    wait_until(lambda: len(listener.heard) == 2, 60, "it came again")
    assert len(set(listener.heard)) == 1


def test_from_a_song_that_comes_to_one_that_does_not_and_to_an_application_that_is_told_after_all(
    stack: Stack, visitor: Visitor, use: Use, listener: Listener
) -> None:
    """The whole way in one sitting: nothing but what stands on the pages leads from each step to the next."""
    url = f"http://127.0.0.1:{listener.server_port}/all-the-way/{use.__name__}"
    prompt, page = f"a song of the whole way, {use.__name__}", visitor.page
    stack.faults(seconds=[1.0, 2.0])
    use(page.get_by_role("link", name="Tasks", exact=True))
    page.get_by_role("heading", name="Tasks").wait_for()
    stack.submit("runware", prompt=prompt)
    # It comes into the list by itself, and its page goes on by itself until there is something to hear.
    use(page.get_by_role("link", name=prompt))
    page.get_by_role("heading", name=prompt).wait_for()
    state(page, "succeeded").wait_for()
    page.locator("#billing", has_text="Billed $").wait_for()
    use(page.locator("audio"))
    wait_until(lambda: page.locator("audio").evaluate("player => player.currentTime") > 0.1, 60, "it is heard")
    # The same again is made to fail, and whoever is to be told is out of order.
    listener.answer, listener.heard = 410, []
    made = stack.post("/v1/endpoints", {"url": url, "types": ["task.failed"]}).json()["id"]
    stack.faults(fail=1.0, fail_code="contentPolicyViolation")
    use(page.get_by_role("link", name="Ask again…"))
    use(page.get_by_role("button", name="Ask again, and be billed"))
    state(page, "failed").wait_for()
    assert "moderation" in page.locator("main header .notice").first.inner_text()
    use(page.locator("summary", has_text="What it said").first)
    page.locator(".raw", has_text="contentPolicyViolation").first.wait_for()
    wait_until(lambda: bool(dead(stack, made)), 60, "the delivery is dead")
    # Who looks at the overview is led to it.
    listener.answer = 204
    use(page.get_by_role("link", name="Overview"))
    use(page.get_by_role("link", name="See why, and send them again"))
    send_again(page, use, url, listener)
    stack.faults()
    stack.http.delete(f"{stack.service.url}/v1/endpoints/{made}", headers=stack.headers())


def dead(stack: Stack, endpoint_id: str) -> list[object]:
    found: list[object] = stack.get(f"/v1/deliveries?status=dead&endpoint_id={endpoint_id}").json()["data"]
    return found
