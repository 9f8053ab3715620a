"""Thousands of hostile requests of all kinds at once: no fault, no secret, no growth, and the main job goes on."""

from pathlib import Path

from tests.strangers.hostile import KINDS
from tests.strangers.house import attacked
from tests.strangers.storm import storm


def test_a_storm_of_strangers_changes_nothing(tmp_path: Path) -> None:
    with attacked(tmp_path, targets=8) as house:
        files = house.open_files()
        outcome = storm(house, attacks=16_000, seed=20_261_121)
        outcome.assert_fine()
        # Some connections carry many requests.
        assert sum(outcome.answers.values()) > 16_000
        assert set(outcome.kinds) == KINDS
        house.assert_works()
        house.assert_silent()
        assert house.open_files() <= files + 20
