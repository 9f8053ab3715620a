from datetime import timedelta
from uuid import uuid4

import pytest

from receiver.domain.report import NewReport, Verdict, Via
from receiver.domain.task import Change, Ruling, Task
from receiver.lifecycle.ports import BodyLimits, Decision
from tests.web.dashboard.browsing import Browser, Element, browsing
from tests.web.dashboard.making import made
from tests.web.dashboard.test_overview import figure
from tests.web.fakes import World


async def said(
    world: World, body: bytes, verdict: Verdict | None, reason: str | None = None, *, of: Task | None = None
) -> NewReport:
    """A callback for a task, and what was made of it."""
    task = of or await made(world)
    report = NewReport(
        id=world.system.new_key(),
        task_key=task.key,
        provider="runware",
        via=Via.CALLBACK,
        received_at=world.system.now(),
        body=body,
        sha256=bytes(31) + bytes([world.system.keys % 256]),
        size=len(body),
        content_type="application/json",
    )
    await world.ports.store.append(report, BodyLimits())
    if verdict is not None:
        change = (Ruling(report.id, verdict, reason),)
        decision = Decision(task.key, lambda task: Change(task, rulings=change), reports=(report.id,))
        await world.ports.store.apply([decision])
    return report


def rows(page: Element) -> list[str]:
    [table] = page.find("table", class_="cards said")
    return [row.text for row in table.find("tr")[1:]]


async def test_before_the_first_callback_the_page_says_how_to_find_out_why(browser: Browser) -> None:
    page = await browser.page("/reports")
    assert "No callback has come yet" in page.text
    assert page.find("code", class_="command")[0].text == "receiver doctor"
    assert "Nobody came with an address that is not ours." in page.text


async def test_callbacks_are_listed_with_what_was_made_of_them(world: World, browser: Browser) -> None:
    await said(world, b"{}", Verdict.SETTLED)
    await said(world, b"[]", Verdict.QUARANTINED, "unknown form: status half done")
    await said(world, b"1", None)
    everything, aside = rows(await browser.page("/reports")), rows(await browser.page("/reports?show=aside"))
    assert ["not read yet" in everything[0], "quarantined unknown form: status half done" in everything[1]] == [
        True
    ] * 2
    assert "accepted" in everything[2]
    assert aside == [everything[1]]


async def test_a_list_goes_on_on_the_next_page_and_keeps_what_was_chosen(world: World, browser: Browser) -> None:
    of = await made(world)
    for number in range(52):
        await said(world, str(number).encode(), Verdict.CONFLICT, f"number {number}", of=of)
    first = await browser.page("/reports?show=aside&provider=runware")
    [older] = [link for link in first.find("a", class_="button") if link.text == "Older"]
    assert "show=aside&provider=runware&before=" in older.attributes["href"]
    second = await browser.page(older.attributes["href"])
    assert [len(rows(first)), len(rows(second))] == [50, 2]
    assert "number 0" in rows(second)[-1]


@pytest.mark.parametrize("query", ["?before=x", "?provider=nobody", "?before=" + "9" * 40])
async def test_what_is_no_id_and_no_provider_is_as_if_it_were_not_there(
    world: World, browser: Browser, query: str
) -> None:
    await said(world, b"{}", Verdict.SETTLED)
    assert len(rows(await browser.page(f"/reports{query}"))) == 1


async def test_a_listing_that_does_not_exist_is_not_found(browser: Browser) -> None:
    assert (await browser.get("/reports?show=nothing")).status_code == 404


async def test_the_words_that_differ_are_marked_in_the_body(world: World, browser: Browser) -> None:
    report = await said(world, b'{"status":"half done"}', Verdict.QUARANTINED, "unknown form: status half done")
    page = await browser.page(f"/reports/{report.id}")
    assert [mark.text for mark in page.find("mark")] == ['"half done"']
    assert page.find("pre")[1].text == '{"status": "half done" }'
    assert "Set aside: unknown form: status half done" in page.text


async def test_a_token_of_ours_in_a_body_is_neither_shown_nor_saved(world: World, browser: Browser) -> None:
    token = world.token(uuid4())
    report = await said(world, f'{{"webhookURL":"https://x/callbacks/runware/{token}"}}'.encode(), Verdict.SETTLED)
    shown = await browser.get(f"/reports/{report.id}")
    saved = await browser.get(f"/reports/{report.id}/raw")
    assert token not in shown.text
    assert token not in saved.text
    assert "[redacted]" in shown.text
    assert saved.headers["content-disposition"] == f'attachment; filename="report-{report.id}.bin"'
    assert saved.headers["content-security-policy"] == "sandbox; default-src 'none'"
    assert saved.headers["content-type"] == "application/octet-stream"
    assert saved.headers["x-content-type-options"] == "nosniff"
    assert saved.headers["cross-origin-resource-policy"] == "same-origin"


async def test_of_a_long_body_the_beginning_is_shown(world: World, browser: Browser) -> None:
    report = await said(world, b"x" * 20_000, Verdict.SETTLED)
    page = await browser.page(f"/reports/{report.id}")
    assert len(page.find("pre")[1].text) == 16 * 1024
    assert "The first 16 kB of 20 kB." in page.text


async def test_a_report_of_no_task_is_shown_and_one_that_is_not_there_is_not_found(
    world: World, browser: Browser
) -> None:
    stranger = Task(**{name: getattr(await made(world), name) for name in ("id", "request", "model", "created_at")},
                    key=world.system.new_key(), deadline_seconds=1.0)  # fmt: skip
    report = await said(world, b"", Verdict.QUARANTINED, "its task is not known", of=stranger)
    page = await browser.page(f"/reports/{report.id}")
    assert "none of ours: kept all the same" in page.text
    assert (await browser.get(f"/reports/{uuid4()}")).status_code == 404


async def test_who_was_turned_away_and_what_was_not_taken_is_counted(world: World, browser: Browser) -> None:
    await browser.http.post("/callbacks/runware/cut-off", content=b"{}")
    late = world.token(uuid4(), lifetime=timedelta(hours=-1))
    await browser.http.post(f"/callbacks/runware/{late}", content=b"{}")
    page = await browser.page("/reports")
    assert figure(page, "Turned away") == "2"
    assert "ends with no token of ours" in page.text
    assert "has expired" in page.text
    assert late not in str(page)


async def test_where_callbacks_come_to_other_processes_the_page_says_so(world: World) -> None:
    async with browsing(world, roles=frozenset({"api"})) as browser:
        await browser.sign_in()
        page = await browser.page("/reports")
    assert "Callbacks come to other processes" in page.text
    assert "Turned away" not in [heading.text for heading in page.find("h2")]
