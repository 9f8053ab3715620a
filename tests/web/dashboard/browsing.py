"""As much of a browser as pages need: cookies, forms with where they stood, and HTML read as a tree."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

import httpx
from starlette.applications import Starlette

from receiver.web import create_app
from receiver.web.dashboard.routing import PageRoute
from tests.web.fakes import KEY, World
from tests.web.support import config

ORIGIN = "https://receiver.example.org"
#: Elements without an end.
_VOID = {"area", "br", "col", "hr", "img", "input", "link", "meta", "source", "wbr"}


@dataclass
class Element:
    """One element of a page."""

    tag: str
    attributes: dict[str, str]
    children: list["Element | str"] = field(default_factory=list)

    def walk(self) -> Iterator["Element"]:
        """Yield this element and all below it, in order."""
        yield self
        for child in self.children:
            if isinstance(child, Element):
                yield from child.walk()

    def find(self, tag: str, **attributes: str) -> list["Element"]:
        """Return all elements of a kind with these attributes; underscores stand for dashes."""
        wanted = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()}
        return [each for each in self.walk() if each.tag == tag and wanted.items() <= each.attributes.items()]

    @property
    def text(self) -> str:
        """The text of this element and all below it, spaces as one."""
        parts = [child if isinstance(child, str) else child.text for child in self.children]
        return " ".join(" ".join(parts).split())


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.root = Element("", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(element)
        if tag not in _VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].children.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, f"</{tag}> ends <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def tree(answer: httpx.Response) -> Element:
    """Read a page; every element of ours is closed where it should be."""
    reader = _Reader()
    reader.feed(answer.text)
    assert [each.tag for each in reader.open] == [""]
    return reader.root


@dataclass
class Browser:
    """A person with a browser."""

    http: httpx.AsyncClient
    app: Starlette

    async def get(self, path: str, **headers: str) -> httpx.Response:
        """Open an address."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.get(path, headers={"Accept": "text/html", **named})

    async def page(self, path: str) -> Element:
        """Open an address and read it."""
        answer = await self.get(path)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text[:500]}"
        return tree(answer)

    async def post(
        self, path: str, data: dict[str, str] | None = None, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        """Send a form as it is."""
        return await self.http.post(path, data=data or {}, headers={"Origin": ORIGIN, **(headers or {})})

    async def act(self, path: str, **fields: str) -> httpx.Response:
        """Send a form of this session."""
        return await self.post(path, {"csrf": await self.csrf(), **fields})

    async def csrf(self) -> str:
        """Return what forms of this session carry."""
        [field] = (await self.page("/")).find("form", class_="out")[0].find("input", name="csrf")
        return field.attributes["value"]

    async def sign_in(self, key: str = KEY) -> httpx.Response:
        """Sign in; return the answer to the form."""
        return await self.post("/login", {"key": key})

    def cookie(self) -> str:
        """Return the value of the session's cookie."""
        [cookie] = list(self.http.cookies.jar)
        return cookie.value or ""


@asynccontextmanager
async def browsing(world: World, *, peer: str = "203.0.113.7", **fields: Any) -> AsyncIterator[Browser]:  # noqa: ANN401 - fields of a WebConfig
    """Open a browser on a new application."""
    app = create_app(world.ports, config(**fields))
    transport = httpx.ASGITransport(app, client=(peer, 5000))
    async with httpx.AsyncClient(transport=transport, base_url=ORIGIN) as http:
        yield Browser(http, app)


def pages(app: Starlette, method: str) -> list[str]:
    """Return the paths of all pages that take a method, ids filled in."""
    anything = "5f0c3a6e-7c5d-4a44-9b6e-0d9d3f1f6a11"
    return [
        route.path.replace("{id}", anything).replace("{result_id}", anything).replace("{ordinal}", "1")
        for route in app.routes
        if isinstance(route, PageRoute) and method in (route.methods or ()) and "{name}" not in route.path
    ]
