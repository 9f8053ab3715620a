import math
import random

import pytest

from receiver.domain.durations import Observed, learn
from receiver.web.dashboard.durations import HEIGHT, Drawing, draw


def drawing(middle: float = 30.0, looks: tuple[float, ...] = ()) -> Drawing:
    chance = random.Random(1)
    ends = [middle * math.exp(chance.gauss(0, 0.2)) for _ in range(50)]
    durations = learn([Observed(end, end) for end in ends])
    assert durations is not None
    return draw(durations, looks)


@pytest.mark.parametrize("middle", [0.5, 30.0, 40_000.0])
def test_every_bar_lies_in_the_drawing_and_the_highest_reaches_the_top(middle: float) -> None:
    drawn = drawing(middle)
    assert all(bar.x >= 0 and bar.x + bar.width <= 100.01 for bar in drawn.bars)
    assert all(bar.y >= 0 and math.isclose(bar.y + bar.height, HEIGHT, abs_tol=0.2) for bar in drawn.bars)
    assert min(bar.y for bar in drawn.bars) == 36
    assert all(0 <= tick.x <= 100 for tick in drawn.ticks)
    assert 2 <= len(drawn.ticks) <= 7


def test_half_and_nearly_all_are_where_the_tasks_say() -> None:
    drawn = drawing(30.0)
    assert 25 < drawn.half < 35 < drawn.nearly_all < 70
    half, nearly_all = drawn.marks
    assert half.x < nearly_all.x < 100
    assert drawn.summary.startswith("Half of the tasks have ended after ")
    assert "learned from the latest 50" in drawn.summary


def test_a_look_close_behind_is_drawn_and_one_far_away_is_told_alone() -> None:
    near, far = drawing(30.0, (60.0, 70.0)), drawing(30.0, (500.0,))
    assert near.looks[0].x == pytest.approx(100 / 1.04, abs=0.1)
    assert far.looks == []
    assert "the first look comes after 8 min 20 s" in far.summary


def test_a_drawing_begins_where_the_first_tasks_end() -> None:
    ends = [100 + number / 10 for number in range(50)]
    durations = learn([Observed(end, end) for end in ends])
    assert durations is not None
    drawn = draw(durations, ())
    assert drawn.ticks[0].x == 0
    assert drawn.ticks[0].words.startswith("1 min ")
    assert any(bar.x > 40 for bar in drawn.bars)
