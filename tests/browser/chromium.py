"""The browser that is on the machine, kept off every network, and a visitor who notes whatever a page did wrong."""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, Route, sync_playwright

#: Where a browser is looked for when this variable does not name one.
VARIABLE = "RECEIVER_TEST_CHROMIUM"
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
#: Chromium looks up names, updates and experiments of its own accord: none of it leaves this machine.
_ALONE = (
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-sync",
    "--no-default-browser-check",
    "--no-first-run",
    "--no-pings",
    # A page may play what was asked for; there is nobody to hear it.
    "--mute-audio",
)
Colours = Literal["light", "dark"]
WIDE, NARROW = (1280, 900), (360, 740)
_MOST_MILLISECONDS = 30_000.0


def find() -> str | None:
    """Return the path of a browser, or None where there is none."""
    named = os.environ.get(VARIABLE)
    return next((path for name in ([named] if named else _NAMES) if (path := shutil.which(name))), None)


@contextmanager
def opened(path: str) -> Iterator[Browser]:
    """Run a browser for the length of the block."""
    # A sandbox of its own needs a user who is not root; what is shown here is ours.
    flags = [*_ALONE, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=flags, headless=True)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Visitor:
    """One window on one service, and all that went wrong in it: messages of the console, requests elsewhere.

    ``expected`` are beginnings of paths whose refusal by the service is part of what is tested.
    """

    page: Page
    base: str
    faults: list[str] = field(default_factory=list)
    expected: tuple[str, ...] = ()
    answers: list[tuple[str, int]] = field(default_factory=list)
    received: int = 0

    def __post_init__(self) -> None:
        """Listen from the first byte on."""
        self.page.set_default_timeout(_MOST_MILLISECONDS)
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.faults.append(f"script: {error}"))
        self.page.on("request", self._asked)
        self.page.on("requestfinished", self._ended)
        # Before it leaves, whatever the browser would make of it.
        self.page.context.route(lambda url: not self._is_ours(url), self._stop)

    def go(self, path: str) -> int:
        """Open a page of the service and return the status of its answer."""
        answer = self.page.goto(self.base + path, wait_until="load")
        return 0 if answer is None else answer.status

    def sign_in(self, secret: str) -> None:
        """Sign in as a person does."""
        self.go("/login")
        self.page.get_by_label("API key").fill(secret)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.get_by_role("button", name="Sign out").wait_for()

    def width_beyond(self) -> int:
        """Return by how many pixels the page is wider than the window."""
        wide: int = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        return max(0, wide)

    def assert_clean(self) -> None:
        """Fail when anything went wrong since the window was opened or this was asked."""
        found, self.faults = self.faults, []
        assert found == []

    def _is_ours(self, url: str) -> bool:
        return url == self.base or url.startswith((f"{self.base}/", "data:", "blob:", "about:"))

    def _said(self, message: ConsoleMessage) -> None:
        place = str(message.location.get("url", ""))
        known = message.text.startswith("Failed to load resource") and place.startswith(
            tuple(self.base + path for path in self.expected)
        )
        if message.type in {"error", "warning"} and not (self.expected and known):
            self.faults.append(f"{message.type}: {message.text} ({place})")

    def _asked(self, request: Request) -> None:
        if not self._is_ours(request.url):
            self.faults.append(f"request elsewhere: {request.method} {request.url}")

    def _ended(self, request: Request) -> None:
        sizes = request.sizes()
        self.received += sizes["responseBodySize"] + sizes["responseHeadersSize"]

    def _stop(self, route: Route) -> None:
        route.abort("blockedbyclient")


@contextmanager
def visiting(
    browser: Browser,
    base: str,
    *,
    colours: Colours = "light",
    size: tuple[int, int] = WIDE,
    script: bool = True,
    session: Mapping[str, Any] | None = None,
) -> Iterator[Visitor]:
    """Open a window of its own, without the cookies of any other; ``session`` are those it begins with."""
    context = new_context(browser, colours=colours, size=size, script=script)
    try:
        if session is not None:
            context.add_cookies([session])  # type: ignore[list-item] # a cookie as the browser itself gave it
        yield Visitor(context.new_page(), base)
    finally:
        context.close()


def new_context(
    browser: Browser, *, colours: Colours = "light", size: tuple[int, int] = WIDE, script: bool = True
) -> BrowserContext:
    """Return a window's surroundings: nothing moves, so that what is seen is what there is."""
    return browser.new_context(
        color_scheme=colours,
        viewport={"width": size[0], "height": size[1]},
        reduced_motion="reduce",
        java_script_enabled=script,
        locale="en-GB",
        timezone_id="UTC",
    )


def violations(page: Page) -> list[str]:
    """Return what axe-core finds wrong with a page, best practices included, one line each."""
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [
        f"{one['id']} ({one['impact']}): {one['help']}: {node['target']} {node['html'][:160]} {_why(node)}"
        for one in found
        for node in one["nodes"]
    ]


def assert_accessible(visitor: Visitor) -> None:
    """Fail when axe-core finds anything at all."""
    found = violations(visitor.page)
    assert found == [], f"{visitor.page.url}\n" + "\n".join(found)


def _why(node: Mapping[str, Any]) -> str:
    return str(node.get("failureSummary", "")).replace("\n", " ")[:200]
