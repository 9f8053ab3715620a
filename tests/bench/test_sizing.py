from tests.bench.sizing import PLACES, costs, sizes, told


def test_the_table_says_what_was_measured_to_two_digits_and_leaves_out_what_was_not() -> None:
    line = {"name": "S1b", "median": 0.5, "beside": {"settled/s": 9876.5, "received/s": 10_000.0}}
    machine = {"processor": "a processor", "cores": "2", "python": "3.11.7"}
    rows = sizes({"lines": [line, {"name": "S3", "median": 8.44, "beside": {}}], "machine": machine}).splitlines()
    assert rows[2] == "| callbacks taken a second | – | – |"
    assert rows[3] == "| taken and settled a second | 9,900 | – |"
    assert rows[4] == "| the slowest of 100 answers meanwhile, ms | 8 | – |"
    assert rows[6] == "Measured on a processor, 2 cores, Python 3.11.7."
    assert rows[8] == "A bare Starlette that reads the same body and answers took – a second in that run:"


def test_each_line_stands_beside_its_floor_and_the_front_page_has_some() -> None:
    told_of = {"name": "S1", "what": "a ÷ b", "unit": "ratio", "median": 0.6789, "floor": 0.55, "goal": 0.85}
    others = {"name": "S8", "what": "late", "unit": "ms", "median": 1234.5, "floor": 250, "goal": 25}
    lines = [{**told_of, "holds": True, "reaches_goal": False}, {**others, "holds": False, "reaches_goal": False}]
    document = {"lines": lines, "machine": {"processor": "a processor", "cores": "2", "python": "3.11.7"}}
    assert costs(document).splitlines()[2:4] == [
        "| S1 | a ÷ b | 0.679 | 0.55 | 0.85 | holds |",
        "| S8 | late | 1,234 ms | 250 | 25 | falls short |",
    ]
    assert told(document).splitlines()[2:] == [
        "| a ÷ b | 0.679 |",
        "",
        "Measured on a processor, 2 cores, Python 3.11.7.",
    ]


def test_every_page_has_the_place_where_the_figures_go() -> None:
    for page, mark, _ in PLACES:
        text = page.read_text("utf-8")
        assert text.count(f"<!-- {mark} -->\n") == text.count(f"<!-- /{mark} -->") == 1, (page, mark)
