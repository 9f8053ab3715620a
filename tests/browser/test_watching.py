"""The watch that the other tests of this folder keep sees what it is there for."""

from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from playwright.sync_api import Browser

from tests.browser.chromium import violations, visiting

_GOOD = "<!doctype html><html lang=en><title>Good</title><main><h1>Good</h1><p>Words.</p></main>"
_PAGES = {
    "/good": _GOOD,
    "/elsewhere": _GOOD + "<img alt='' src=https://pictures.example.org/1.png>",
    "/beside": _GOOD + "<img alt='' src=http://127.0.0.1:1/1.png>",
    "/inline": _GOOD + "<script>document.title = 'run'</script>",
    "/broken": _GOOD + "<script src=/broken.js></script>",
    "/broken.js": "throw new Error('broken')",
    "/wide": _GOOD + "<pre>" + "wide " * 200 + "</pre>",
    "/unlabelled": _GOOD + "<main><input></main>",
}


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        page = _PAGES.get(self.path)
        self.send_response(404 if page is None else 200)
        self.send_header("Content-Security-Policy", "script-src 'self'")
        self.send_header("Content-Type", "text/javascript" if self.path.endswith(".js") else "text/html")
        self.end_headers()
        self.wfile.write((page or "not here").encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's own name for it
        """Say nothing."""


@pytest.fixture(scope="module")
def pages() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = Thread(target=partial(server.serve_forever, 0.02))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_good_page_has_no_faults(browser: Browser, pages: str) -> None:
    with visiting(browser, pages) as visitor:
        visitor.expected = ("/favicon.ico",)
        assert visitor.go("/good") == 200
        assert violations(visitor.page) == []
        assert visitor.width_beyond() == 0
        assert 0 < visitor.received < 1000
        visitor.assert_clean()


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/elsewhere", "request elsewhere: GET https://pictures.example.org/1.png"),
        ("/beside", "request elsewhere: GET http://127.0.0.1:1/1.png"),
        ("/inline", "Content Security Policy"),
        ("/broken", "script: broken"),
        ("/nowhere", "404"),
    ],
)
def test_what_a_page_does_wrong_is_told(browser: Browser, pages: str, path: str, told: str) -> None:
    with visiting(browser, pages) as visitor:
        visitor.go(path)
        assert any(told in fault for fault in visitor.faults), visitor.faults


@pytest.mark.parametrize(
    ("path", "sees"),
    [
        ("/wide", lambda visitor: visitor.width_beyond() > 100),
        ("/unlabelled", lambda visitor: any(one.startswith("label") for one in violations(visitor.page))),
    ],
    ids=["wide", "unlabelled"],
)
def test_what_is_wrong_with_a_page_is_seen(
    browser: Browser, pages: str, path: str, sees: Callable[[object], bool]
) -> None:
    with visiting(browser, pages) as visitor:
        visitor.go(path)
        assert sees(visitor)
