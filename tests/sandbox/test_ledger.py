from tests.sandbox.support import Box, Listener, cover, until

CONTRACT = {
    "provider",
    "provider_task_id",
    "client_request_id",
    "webhook_url",
    "accepted_at",
    "billed_usd",
    "status",
    "results",
    "errors",
    "callbacks",
    "polls",
    "submits",
}


async def test_each_entry_has_the_agreed_fields_in_the_order_of_acceptance(box: Box, listener: Listener) -> None:
    await box.runware(cover(webhookURL=listener.url))
    await box.submitted()
    await box.runware(cover())
    entries = await box.finished(3)
    assert [entry["provider"] for entry in entries] == ["runware", "aimlapi", "runware"]
    assert all(entry.keys() >= CONTRACT for entry in entries)
    assert all(entry["accepted_at"].endswith("Z") for entry in entries)
    assert all(result.keys() >= {"id", "url", "bytes", "sha256"} for entry in entries for result in entry["results"])
    await until(lambda: called_back(box))
    (attempt,) = (await box.ledger())[0]["callbacks"]
    assert attempt.keys() >= {"sent_at", "attempt", "status_code", "body"}


async def called_back(box: Box) -> bool:
    return bool((await box.ledger())[0]["callbacks"])


async def test_the_counts_are_the_ledger_in_a_few_numbers(box: Box, listener: Listener) -> None:
    await box.faults(stall=1.0)
    await box.runware(cover())
    await box.faults(fail=1.0)
    await box.submitted()
    await box.faults()
    await box.runware(cover(webhookURL=listener.url))
    await box.finished(2)
    await until(lambda: last_called_back(box))
    await until(lambda: nothing_under_way(box))
    counts = (await box.client.get("/_sandbox/counts")).json()
    assert counts["accepted"] == 3
    nothing = {"processing": 0, "success": 0, "error": 0, "stalled": 0, "callbacks": 0, "confirmed": 0}
    assert counts["runware"] == nothing | {"success": 1, "stalled": 1, "callbacks": 1, "confirmed": 1}
    assert counts["aimlapi"] == nothing | {"error": 1}


async def test_a_callback_whose_answer_is_outstanding_is_under_way(box: Box, listener: Listener) -> None:
    listener.plan = ["hang"]
    await box.runware(cover(webhookURL=listener.url))
    await listener.received(1)
    assert not await nothing_under_way(box)


async def nothing_under_way(box: Box) -> bool:
    return bool((await box.client.get("/_sandbox/counts")).json()["under_way"] == 0)


async def last_called_back(box: Box) -> bool:
    return bool((await box.ledger())[-1]["callbacks"])
