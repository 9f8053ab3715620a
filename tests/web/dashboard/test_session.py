from http.cookies import SimpleCookie

import pytest

from receiver.web.auth import MOST_ATTEMPTS
from tests.web.dashboard.browsing import ORIGIN, Browser, browsing, pages, tree
from tests.web.fakes import BEARER, KEY, World

OPEN = {"/login", "/signed-in"}
ELSEWHERE = "https://evil.example"


async def test_no_page_is_shown_to_who_is_not_signed_in(world: World) -> None:
    async with browsing(world) as browser:
        paths = [path for path in pages(browser.app, "GET") if path not in OPEN]
        assert paths
        for path in paths:
            answer = await browser.get(path)
            assert (answer.status_code, answer.text) == (303, ""), path
            assert answer.headers["location"].startswith("/login"), path


async def test_no_form_is_taken_from_who_is_not_signed_in(world: World) -> None:
    async with browsing(world) as browser:
        for path in pages(browser.app, "POST"):
            if path not in OPEN:
                assert (await browser.post(path)).status_code == 403, path


async def test_a_key_opens_a_session(world: World) -> None:
    async with browsing(world) as browser:
        answer = await browser.sign_in()
        assert (answer.status_code, answer.headers["location"]) == (303, "/signed-in?next=/")
        answer = await browser.get(answer.headers["location"])
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert (await browser.get("/")).status_code == 200
        assert (await browser.get("/login")).headers["location"] == "/"


async def test_the_cookie_is_bound_as_tightly_as_can_be_and_holds_no_key(world: World) -> None:
    async with browsing(world, api_keys=(f"ops:{KEY}",)) as browser:
        sent = (await browser.sign_in(f"ops:{KEY}")).headers["set-cookie"]
    cookie = SimpleCookie(sent)["__Host-receiver"]
    told = (cookie["path"], cookie["max-age"], cookie["secure"], cookie["httponly"], cookie["samesite"])
    assert told == ("/", "43200", True, True, "Strict")
    assert "domain=" not in sent.lower()
    assert KEY not in sent
    assert "ops" not in sent


async def test_each_port_of_a_host_has_a_cookie_of_its_own(world: World) -> None:
    async with browsing(world) as browser:
        headers = {"Host": "127.0.0.1:8099", "Origin": "http://127.0.0.1:8099"}
        answer = await browser.http.post("/login", data={"key": KEY}, headers=headers)
    assert answer.headers["set-cookie"].startswith("__Host-receiver-8099=")


async def test_a_session_ends_after_twelve_hours(world: World) -> None:
    async with browsing(world) as browser:
        await browser.sign_in()
        cookie = {"Cookie": f"__Host-receiver={browser.cookie()}"}
        world.system.passed += 12 * 3600 - 1
        assert (await browser.get("/", **cookie)).status_code == 200
        world.system.passed += 1
        assert (await browser.get("/", **cookie)).status_code == 303


@pytest.mark.parametrize("left", [("other:" + "o" * 32,), ("ops:" + "n" * 32,)], ids=["removed", "changed"])
async def test_a_session_ends_with_its_key(world: World, left: tuple[str, ...]) -> None:
    keys = ("ops:" + "k" * 32,)
    async with browsing(world, api_keys=(*keys, *left) if "other" in left[0] else keys) as browser:
        await browser.sign_in("k" * 32)
        cookie = browser.cookie()
    async with browsing(world, api_keys=left) as browser:
        assert (await browser.get("/", Cookie=f"__Host-receiver={cookie}")).status_code == 303
    async with browsing(world, api_keys=keys) as browser:
        assert (await browser.get("/", Cookie=f"__Host-receiver={cookie}")).status_code == 200


async def test_signing_out_lets_the_browser_forget(browser: Browser) -> None:
    answer = await browser.act("/logout")
    assert (answer.status_code, answer.headers["location"]) == (303, "/login?out=1")
    assert "__Host-receiver=; Path=/; Max-Age=0; Secure" in answer.headers["set-cookie"]
    assert (await browser.get("/")).status_code == 303
    assert "You have signed out" in tree(await browser.get("/login?out=1")).text


async def test_signing_out_ends_the_session_for_whoever_else_holds_its_cookie(world: World) -> None:
    async with browsing(world) as browser, browsing(world) as other:
        await browser.sign_in()
        copied = {"Cookie": f"__Host-receiver={browser.cookie()}"}
        world.system.passed += 5
        await other.sign_in()
        assert (await browser.get("/", **copied)).status_code == 200
        token = await browser.csrf()
        await browser.act("/logout")
        browser.http.cookies.clear()
        assert (await browser.get("/", **copied)).status_code == 303
        assert (await browser.post("/tasks/refresh", {"csrf": token}, copied)).status_code == 403
        # Nobody else's, and not for good: the same key opens a new one at once, another than the one that ended.
        assert (await other.get("/")).status_code == 200
        await browser.sign_in()
        assert (await browser.get("/")).status_code == 200


async def test_the_interface_takes_no_cookie_and_pages_take_no_key(browser: Browser) -> None:
    assert (await browser.get("/v1/tasks")).status_code == 401
    assert (await browser.get("/openapi.json")).status_code == 401
    browser.http.cookies.clear()
    assert (await browser.get("/", **BEARER)).status_code == 303


async def test_wrong_keys_are_counted_together_with_those_of_the_interface(world: World) -> None:
    async with browsing(world) as browser:
        for number in range(MOST_ATTEMPTS - 1):
            answer = await browser.sign_in(f"wrong {number}")
            assert answer.status_code == 401
            assert "not one of ours" in tree(answer).text
        wrong = {"Authorization": "Bearer wrong"}
        assert (await browser.http.get("/v1/tasks", headers=wrong)).status_code == 401
        refused = await browser.sign_in("wrong")
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "60")
        assert (await browser.http.get("/v1/tasks", headers=wrong)).status_code == 429
        # Whoever shares an address with a guesser is not locked out.
        assert (await browser.sign_in()).status_code == 303


async def test_a_key_is_never_shown_again(world: World) -> None:
    async with browsing(world) as browser:
        assert "secret-guess" not in (await browser.sign_in("secret-guess")).text


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": ELSEWHERE},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "https://receiver.example.org.evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Content-Type": "application/json"},
        {"Content-Type": "text/plain"},
    ],
    ids=str,
)
async def test_a_form_from_elsewhere_is_refused(browser: Browser, headers: dict[str, str]) -> None:
    token = await browser.csrf()
    for path in pages(browser.app, "POST"):
        body = f"csrf={token}&key={KEY}"
        kind = {"Content-Type": "application/x-www-form-urlencoded", "Origin": ORIGIN}
        answer = await browser.http.post(path, content=body, headers={**kind, **headers})
        assert (answer.status_code, "set-cookie" in answer.headers) == (403, False), path
        assert "Nothing was changed" in tree(answer).text


@pytest.mark.parametrize("token", ["", "wrong", "ü" * 40])
async def test_a_form_without_the_token_of_its_session_is_refused(browser: Browser, token: str) -> None:
    for path in pages(browser.app, "POST"):
        if path != "/login":
            assert (await browser.post(path, {"csrf": token})).status_code == 403, path
            assert (await browser.post(path)).status_code == 403, path


async def test_a_token_is_of_one_session(world: World) -> None:
    async with browsing(world) as one, browsing(world) as other:
        await one.sign_in()
        world.system.passed += 60
        await other.sign_in()
        assert await one.csrf() != await other.csrf()
        assert (await other.post("/logout", {"csrf": await one.csrf()})).status_code == 403


@pytest.mark.parametrize(
    ("wanted", "reached"),
    [
        ("/tasks?status=failed", "/tasks?status=failed"),
        ("//evil.example/x", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example/", "/"),
        ("javascript:alert(1)", "/"),
        ("/x\r\nSet-Cookie: a=b", "/"),
        ("/" + "x" * 3000, "/"),
        ("", "/"),
    ],
)
async def test_after_signing_in_one_comes_to_a_page_of_ours(world: World, wanted: str, reached: str) -> None:
    async with browsing(world) as browser:
        answer = await browser.post("/login", {"key": KEY, "next": wanted})
        assert answer.headers["location"].startswith("/signed-in?next=/")
        assert (await browser.get(answer.headers["location"])).headers["location"] == reached
        assert "set-cookie" in answer.headers


async def test_a_browser_that_keeps_no_session_is_told_why(world: World) -> None:
    async with browsing(world) as browser:
        answer = await browser.sign_in()
        browser.http.cookies.clear()
        refused = await browser.get(answer.headers["location"])
    assert refused.status_code == 403
    assert "did not keep the session" in tree(refused).text


async def test_a_link_on_another_site_leads_to_the_page_by_a_step_of_ours(world: World) -> None:
    async with browsing(world) as browser:
        answer = await browser.get("/nothing?x=1", sec_fetch_site="cross-site")
        assert answer.status_code == 404
        answer = await browser.get("/?over=day", sec_fetch_site="cross-site")
    [step] = tree(answer).find("meta", http_equiv="refresh")
    assert step.attributes["content"] == "0; url=/?over=day"


async def test_a_part_that_is_asked_for_again_is_told_that_the_session_is_over(world: World) -> None:
    async with browsing(world) as browser:
        answer = await browser.get("/", hx_request="true")
    assert (answer.status_code, answer.text) == (401, "")


async def test_a_cookie_that_was_tampered_with_opens_nothing(browser: Browser) -> None:
    cookie = browser.cookie()
    browser.http.cookies.clear()
    spoilt = [cookie[:-1] + ("A" if cookie[-1] != "A" else "B"), cookie + "A", cookie[:40], "", "é", '"']
    for value in spoilt:
        header = f"__Host-receiver={value}".encode("latin-1")
        answer = await browser.http.get("/", headers=[(b"cookie", header)])
        assert answer.status_code == 303
