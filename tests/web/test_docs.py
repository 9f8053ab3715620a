"""The page for people: whole, escaped, without script and without a word to anybody else."""

import base64
import hashlib
import re
from html.parser import HTMLParser

from receiver.web.docs import PAGE
from receiver.web.docs_page import page
from tests.web import interface
from tests.web.fakes import World
from tests.web.support import client

VOID = {"meta", "link", "br", "wbr", "img", "hr", "input"}


class Reader(HTMLParser):
    """Notes what a page refers to, and that every element is closed where it should be."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            assert not name.startswith("on"), name
            assert name not in {"src", "style", "srcset", "action", "data"}, name
            if name == "href":
                self.links.append(value or "")
            if name == "id":
                self.ids.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    return reader


async def get(world: World) -> tuple[str, str]:
    async with client(world, metrics_page=bytes) as http:
        answer = await http.get(PAGE)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    return answer.text, answer.headers["content-security-policy"]


async def test_the_page_shows_every_operation_and_every_shape_and_its_links_lead_somewhere(world: World) -> None:
    html, _ = await get(world)
    reader = read(html)
    document = interface.document()
    names = {operation["operationId"] for methods in document["paths"].values() for operation in methods.values()}
    shapes = {f"shape-{name}" for name in document["components"]["schemas"]}
    assert names | shapes <= set(reader.ids)
    assert len(set(reader.ids)) == len(reader.ids)
    assert {link.removeprefix("#") for link in reader.links if link.startswith("#")} <= set(reader.ids)
    text = "".join(reader.text)
    for path in document["paths"]:
        assert path in text


async def test_the_page_has_no_script_and_asks_nobody_else_for_anything(world: World) -> None:
    html, policy = await get(world)
    reader = read(html)
    assert {"script", "img", "link", "iframe", "object", "form"}.isdisjoint(reader.names)
    assert [link for link in reader.links if not link.startswith("#")] == ["openapi.json"]
    [style] = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    assert "url(" not in style
    assert "@import" not in style
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy.split("; ") == [
        "default-src 'none'",
        f"style-src 'sha256-{digest}'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]


def test_words_of_the_document_are_words_on_the_page() -> None:
    evil = "<script>alert(1)</script>\"'&`<b>`"
    operation = {
        "operationId": "x",
        "tags": [evil],
        "summary": evil,
        "description": f"{evil}\n\n{evil}",
        "security": [{evil: []}],
        "parameters": [{"name": evil, "in": evil, "required": True, "description": evil, "schema": {"enum": [evil]}}],
        "requestBody": {
            "description": evil,
            "content": {evil: {"schema": {"$ref": evil}, "examples": {evil: {"value": evil}}}},
        },
        "responses": {"200": {"description": evil, "headers": {evil: {"description": evil}}, "content": {evil: {}}}},
    }
    document: dict[str, object] = {
        "info": {"title": evil, "version": evil, "summary": evil, "description": evil},
        "tags": [{"name": evil, "description": evil}],
        "paths": {evil: {"get": operation}},
        "components": {
            "schemas": {"x": {"description": evil, "properties": {evil: {"type": evil, "description": evil}}}}
        },
    }
    reader = read(page(document, ""))
    assert {"script", "b"} & set(reader.names) == set()
