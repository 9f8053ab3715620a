from typing import Any

from tests.sandbox.support import Listener, cover, in_process, listening, quick

FAULTS: dict[str, Any] = {
    "fail": 0.3,
    "drop": 0.3,
    "stall": 0.1,
    "duplicate": 0.3,
    "lose_submit_answer": 0.2,
    "lose_submit_how": "unreadable",
}
TASK_IDS = [f"00000000-0000-4000-8000-{number:012d}" for number in range(20)]


async def a_run(seed: int, listener: Listener) -> list[dict[str, Any]]:
    """Run the same jobs against a fresh sandbox; return what must not depend on when."""
    async with in_process(quick(seed, callback_attempts=1, **FAULTS)) as box:
        for task_id in TASK_IDS:
            await box.runware(cover(taskUUID=task_id, numberResults=2, webhookURL=listener.url))
            await box.client.post("/aimlapi/v2/generate/audio", json=SONG)
        running = sum(entry["stalled"] for entry in await box.ledger())
        entries = await box.finished(2 * len(TASK_IDS) - running)
    return [fate(entry) for entry in entries]


def fate(entry: dict[str, Any]) -> dict[str, Any]:
    names = ("provider", "provider_task_id", "ordinal", "status", "stalled", "errors", "billed_usd", "submits")
    results = [(result["id"], result["sha256"], result["seed"]) for result in entry["results"]]
    return {name: entry[name] for name in names} | {"results": results}


SONG = {
    "model": "minimax/music-cover",
    "prompt": "quiet jazz trio, brushes",
    "reference_audio_url": "https://files.example.org/in.mp3",
}


async def test_the_same_seed_repeats_every_fate_id_and_sound() -> None:
    async with listening() as listener:
        assert await a_run(5, listener) == await a_run(5, listener)


async def test_another_seed_is_another_run() -> None:
    async with listening() as listener:
        one, other = await a_run(5, listener), await a_run(6, listener)
    assert [entry["status"] for entry in one] != [entry["status"] for entry in other]
    sounds = {sha256 for run in (one, other) for entry in run for _, sha256, _ in entry["results"]}
    assert len(sounds) == sum(len(entry["results"]) for run in (one, other) for entry in run)
