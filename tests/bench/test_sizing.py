from tests.bench.sizing import table


def test_the_table_says_what_was_measured_to_two_digits_and_leaves_out_what_was_not() -> None:
    line = {"name": "S1b", "median": 0.5, "beside": {"settled/s": 9876.5, "received/s": 10_000.0}}
    machine = {"processor": "a processor", "cores": "2", "python": "3.11.7"}
    rows = table({"lines": [line, {"name": "S3", "median": 8.44, "beside": {}}], "machine": machine}).splitlines()
    assert rows[2] == "| callbacks taken a second | – | – |"
    assert rows[3] == "| taken and settled a second | 9,900 | – |"
    assert rows[4] == "| the slowest of 100 answers meanwhile, ms | 8 | – |"
    assert rows[-1] == "Measured on a processor, 2 cores, Python 3.11.7."
