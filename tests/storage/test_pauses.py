from receiver.domain.errors import ErrorCode, TaskError
from receiver.lifecycle.ports import Pause
from receiver.storage.store import SqlStore
from tests.storage.making import NOW, SECOND

NO_MONEY = TaskError(ErrorCode.BALANCE, "the account is empty", retryable=True, provider_code="insufficientCredits")
TOO_MANY = TaskError(ErrorCode.RATE, "too many requests")


async def test_a_pause_is_kept_with_its_reason(store: SqlStore) -> None:
    assert await store.pauses() == {}
    await store.pause(Pause("runware", NOW, NO_MONEY))
    await store.pause(Pause("aimlapi", NOW, TOO_MANY))
    assert await store.pauses() == {
        "runware": Pause("runware", NOW, NO_MONEY),
        "aimlapi": Pause("aimlapi", NOW, TOO_MANY),
    }


async def test_a_later_end_replaces_an_earlier_one_and_no_other(store: SqlStore) -> None:
    await store.pause(Pause("runware", NOW, NO_MONEY))
    await store.pause(Pause("runware", NOW + SECOND, TOO_MANY))
    await store.pause(Pause("runware", NOW, NO_MONEY))
    assert await store.pauses() == {"runware": Pause("runware", NOW + SECOND, TOO_MANY)}


async def test_a_provider_may_go_on_before_its_pause_ends(store: SqlStore) -> None:
    await store.pause(Pause("runware", NOW, NO_MONEY))
    await store.release_pause("runware")
    await store.release_pause("nobody")
    assert await store.pauses() == {}
