"""What holds for every page, whoever added it."""

import re
from dataclasses import replace
from typing import Any, cast

import pytest

from receiver.domain.errors import UnavailableError
from receiver.lifecycle.ports import Store
from receiver.web import WebConfig, create_app
from receiver.web.dashboard.assets import assets
from receiver.web.dashboard.paper import TEMPLATES
from tests.web.dashboard.browsing import Browser, Element, browsing, pages, tree
from tests.web.fakes import World

_HANDLER = re.compile(r"on[a-z]+")
#: Attributes that name an address, in a page or in a drawing.
_ADDRESSES = ("href", "src", "action", "formaction", "hx-get", "hx-post", "poster", "srcset", "data")


def sources() -> dict[str, str]:
    """The templates as they are written."""
    loader = TEMPLATES.loader
    assert loader is not None
    return {name: loader.get_source(TEMPLATES, name)[0] for name in TEMPLATES.list_templates()}


def check(page: Element, policy: str) -> None:
    """Refuse what the policy would not let work, and what would leave the machine."""
    [nonce] = re.findall(r"script-src 'nonce-([0-9a-f]{32})'", policy)
    for element in page.walk():
        assert "style" not in element.attributes, element
        assert not [name for name in element.attributes if _HANDLER.fullmatch(name)], element
        assert element.tag != "style", element
        if element.tag == "script":
            assert element.attributes["nonce"] == nonce
            assert element.text == ""
        for name in _ADDRESSES:
            target = element.attributes.get(name, "")
            assert re.match(r"(/(?!/)|#|\?|$)", target) or is_outward(element), (element.tag, name, target)


def is_outward(element: Element) -> bool:
    """A link that a person may follow to elsewhere; it tells nobody where it stood."""
    return (
        element.tag == "a"
        and element.attributes["href"].startswith("https:")
        and "noreferrer" in element.attributes["rel"]
    )


async def test_every_page_has_a_policy_and_keeps_to_it(browser: Browser) -> None:
    nonces = set()
    for path in [*pages(browser.app, "GET"), "/nothing"]:
        answer = await browser.get(path)
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'")
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "http" not in policy
        assert answer.headers["referrer-policy"] == "same-origin"
        assert answer.headers["cross-origin-opener-policy"] == "same-origin"
        assert answer.headers["cache-control"] == "no-store"
        nonces.add(policy)
        if answer.status_code not in {303, 401}:
            check(tree(answer), policy)
    assert len(nonces) == len(pages(browser.app, "GET")) + 1


async def test_every_page_can_be_found_around_in(browser: Browser) -> None:
    for path in [*pages(browser.app, "GET"), "/nothing"]:
        answer = await browser.get(path)
        if answer.status_code == 303:
            continue
        page = tree(answer)
        assert [each.attributes["lang"] for each in page.find("html")] == ["en"]
        assert len(page.find("h1")) == 1, path
        assert page.find("title")[0].text.endswith("· Receiver")
        assert page.find("a", class_="skip")[0].attributes["href"] == "#main"
        assert len(page.find("main", id="main")) == 1
        labels = {each.attributes.get("for") for each in page.find("label")}
        for element in page.walk():
            if element.tag in {"input", "select", "textarea"} and element.attributes.get("type") != "hidden":
                named = element.attributes.get("id") in labels or element.attributes.get("aria-label")
                assert named, (path, element)
        ids = [each.attributes["id"] for each in page.walk() if "id" in each.attributes]
        assert len(ids) == len(set(ids)), path


def test_no_template_says_that_something_is_safe() -> None:
    assert [name for name, source in sources().items() if re.search(r"\|\s*safe|autoescape|Markup", source)] == []


def test_a_live_part_has_the_id_that_it_asks_for() -> None:
    written = [call for source in sources().values() for call in re.findall(r"parts\.live\(([^)]*)\)", source)]
    assert written
    assert all(re.fullmatch(r'"[a-z-]+"', call) for call in written)


async def test_an_address_with_nothing_is_a_page_for_people_and_a_problem_for_programs(browser: Browser) -> None:
    answer = await browser.get("/nothing")
    assert answer.status_code == 404
    assert "There is nothing here" in tree(answer).text
    assert (await browser.get("/v1/nothing", Authorization="Bearer x")).headers["content-type"] != "text/html"
    assert (await browser.http.get("/nothing")).headers["content-type"] == "application/problem+json"
    answer = await browser.http.request("DELETE", "/", headers={"Accept": "text/html"})
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


class Gone:
    """A store that is away."""

    trouble = "disk I/O error"

    @property
    def insight(self) -> "Gone":
        return self

    @property
    def outbox(self) -> "Gone":
        return self

    @property
    def sessions(self) -> "Gone":
        return self

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - stands for every method
        async def fail(*_: object, **__: object) -> None:
            raise UnavailableError("receiver.db: disk I/O error")

        return fail


async def test_a_database_that_is_away_is_told_in_words(world: World) -> None:
    async with browsing(world) as browser:
        await browser.sign_in()
        cookie = browser.cookie()
    world.ports = replace(world.ports, store=cast("Store", Gone()))
    async with browsing(world) as browser:
        assert (await browser.sign_in()).status_code == 503
        browser.http.headers["Cookie"] = f"__Host-receiver={cookie}"
        # A search for nothing asks nothing.
        asked = [
            path.replace("/find", "/find?q=x")
            for path in pages(browser.app, "GET")
            if path not in {"/login", "/signed-in"}
        ]
        for path in asked:
            answer = await browser.get(path)
            told = (answer.status_code, answer.headers["retry-after"])
            assert told == (503, "5"), path
            assert "cannot reach its database" in tree(answer).text
            assert "receiver.db" not in answer.text


@pytest.mark.parametrize("api_url", [None, "https://api.example.org", "https://api.example.org/music"])
async def test_links_stay_below_the_address_that_callers_know(world: World, api_url: str | None) -> None:
    root = "/music" if api_url and api_url.endswith("/music") else ""
    async with browsing(world, api_url=api_url) as browser:
        answer = await browser.get("/")
        assert answer.headers["location"] == f"{root}/login"
        answer = await browser.sign_in()
        assert answer.headers["location"] == f"{root}/signed-in?next=/"
        assert (await browser.get("/signed-in?next=/x")).headers["location"] == f"{root}/x"
        page = await browser.page("/")
        links = [
            each.attributes["href"]
            for each in [*page.find("a"), *page.find("link")]
            if "#" not in each.attributes["href"]
        ]
        assert links
        assert [link for link in links if not link.startswith(f"{root}/")] == []


async def test_no_address_of_a_page_follows_from_what_a_caller_claims(browser: Browser) -> None:
    answer = await browser.get("/", X_Forwarded_Host="evil.example", Forwarded="host=evil.example")
    assert "evil.example" not in answer.text + str(answer.headers)


async def test_pages_are_only_where_the_interface_is(world: World) -> None:
    app = create_app(world.ports, WebConfig(api_keys=("k" * 32,), roles=frozenset({"callbacks"})))
    assert pages(app, "GET") == []


def test_what_a_page_is_made_with_is_small() -> None:
    asked_for = ("app.css", "app.js", "htmx-4.0.1.min.js", "icon.svg")
    assert sum(len(assets()[name].packed) for name in asked_for) < 40_000


#: What people and attackers type behind a question mark, or in place of an id.
_ODD = (
    "%00", "%0d%0aX:1", "..%2f..%2fetc", "%ff%fe", "%E2%80%AE", "%20", "%25", "=", "x=", "=x", "-1", "0", "1e400",
    "9" * 40, "A" * 3000, "null", "[]", "%27%22%3E%3Cscript%3E", "2026-W01-1", "0001-01-01T00:00:00-14:00",
    "9999-12-31T23:59:59+14:00", "urn:uuid:00000000-0000-4000-8000-000000000000",
)  # fmt: skip
_NAMES = ("over", "status", "provider", "metadata", "after", "before", "cursor", "limit", "looked", "ended", "told",
          "of", "q", "endpoint", "done", "next", "sent")  # fmt: skip


@pytest.mark.parametrize("odd", _ODD, ids=lambda odd: odd[:40])
async def test_odd_words_in_an_address_are_answered_and_are_no_fault(browser: Browser, odd: str) -> None:
    asked = "&".join(f"{name}={odd}" for name in _NAMES)
    for path in pages(browser.app, "GET"):
        for address in {f"{path}?{asked}", re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", odd, path)}:
            answer = await browser.get(address)
            assert answer.status_code in {200, 303, 404}, (address[:200], answer.status_code)
            assert "<script>" not in answer.text
