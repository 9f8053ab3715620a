"""Large bodies and large reports do not hold up everybody else."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable
from typing import TypeVar

import pytest

from receiver.domain.request import TaskRequest
from receiver.lifecycle.submit import _take_aside
from receiver.web.documents import read_aside
from receiver.web.problems import ProblemError
from receiver.web.redaction import REST_SECONDS, Redactor
from tests.web.fakes import World

LARGE = "QUJD" * 700_000
T = TypeVar("T")


async def turns_of_others(work: Awaitable[T]) -> tuple[T, int]:
    """Return what the work returns, and how many turns somebody else had meanwhile."""
    turns = 0

    async def somebody_else() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    other = asyncio.create_task(somebody_else())
    try:
        return await work, turns
    finally:
        other.cancel()


async def test_a_large_document_is_read_while_others_have_their_turn() -> None:
    body = json.dumps({"reference_audio": LARGE}).encode()
    document, turns = await turns_of_others(read_aside(body, most_values=100))
    assert document == {"reference_audio": LARGE}
    assert turns > 0


@pytest.mark.parametrize("fault", ["\x07", "\x00"])
async def test_a_control_character_deep_in_a_large_text_is_still_found(fault: str) -> None:
    for place in (0, 1_048_575, 1_048_576, len(LARGE) - 1):
        body = json.dumps({"reference_audio": LARGE[:place] + fault + LARGE[place + 1 :]}).encode()
        with pytest.raises(ProblemError, match="control character"):
            await read_aside(body, most_values=100)


async def test_large_inline_audio_is_decoded_while_others_have_their_turn() -> None:
    request = TaskRequest(provider="aimlapi", prompt="quiet jazz trio", reference_audio=LARGE)
    (taken, data), turns = await turns_of_others(_take_aside(request, "inputs/1"))
    assert data == LARGE.encode()
    assert taken.reference_audio != LARGE
    assert turns > 0


async def test_a_large_report_is_searched_while_others_have_their_turn(world: World) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield LARGE.encode()

    async def search() -> int:
        redactor = Redactor(world.tokens, (), world.system.sleep)
        return sum([len(piece) async for piece in redactor.stream(chunks())])

    began = world.system.passed
    size, turns = await turns_of_others(search())
    assert size == len(LARGE)
    # One for every piece, and then a while in which none is searched.
    assert turns > 40
    assert world.system.passed - began == pytest.approx(-(-size // (64 * 1024)) * REST_SECONDS)
