from uuid import UUID

from receiver.sandbox.chance import Chance

CHANCE = Chance(7, "runware", 3)


def test_a_draw_repeats_for_the_same_seed_provider_and_ordinal() -> None:
    assert CHANCE.bits("fail", 1) == Chance(7, "runware", 3).bits("fail", 1)


def test_a_draw_differs_by_seed_provider_ordinal_name_and_index() -> None:
    draws = {
        CHANCE.bits("fail", 1),
        Chance(8, "runware", 3).bits("fail", 1),
        Chance(7, "aimlapi", 3).bits("fail", 1),
        Chance(7, "runware", 4).bits("fail", 1),
        CHANCE.bits("drop", 1),
        CHANCE.bits("fail", 2),
    }
    assert len(draws) == 6


def test_shares_are_hit_about_as_often_as_they_say() -> None:
    hits = sum(Chance(0, "runware", ordinal).hits(0.2, "fail") for ordinal in range(5000))
    assert 850 < hits < 1150


def test_a_share_of_one_always_hits_and_a_share_of_zero_never() -> None:
    assert all(Chance(0, "runware", ordinal).hits(1.0, "drop") for ordinal in range(200))
    assert not any(Chance(0, "runware", ordinal).hits(0.0, "drop") for ordinal in range(200))


def test_raising_a_share_keeps_the_tasks_that_were_hit_before() -> None:
    few = {ordinal for ordinal in range(500) if Chance(0, "runware", ordinal).hits(0.1, "fail")}
    many = {ordinal for ordinal in range(500) if Chance(0, "runware", ordinal).hits(0.4, "fail")}
    assert few < many


def test_identifiers_are_uuids_of_version_four() -> None:
    assert UUID(CHANCE.uuid4("result")).version == 4


def test_words_are_url_safe_and_of_the_length_asked_for() -> None:
    words = {Chance(0, "aimlapi", ordinal).word(21, "id") for ordinal in range(500)}
    assert len(words) == 500
    assert {len(word) for word in words} == {21}
    assert any("-" in word for word in words)
    assert any("_" in word for word in words)
