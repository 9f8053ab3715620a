"""`make bench`: what the service costs, side by side with what it could cost; never part of the tests."""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.bench.custody import GROUPS as CUSTODY
from tests.bench.lines import GROUPS, Figure, Plan, database_settings
from tests.bench.load import BenchError
from tests.bench.polling import GROUPS as POLLING
from tests.bench.report import document, machine, plot, table
from tests.bench.shared import GROUPS as SHARED

_GROUPS = {**GROUPS, **POLLING, **CUSTODY, **SHARED}
_QUICK = Plan(seconds=3.0, rounds=2, settle_seconds=6.0, tasks=100_000, reports=200_000)


def main() -> int:
    """Measure, print, write; exit 1 when a floor does not hold, 2 when nothing could be measured."""
    arguments = _arguments()
    told = machine()
    out = Path(arguments.out)
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="receiver-bench-", dir=arguments.disk) as folder:
        told |= {"database": ", ".join(f"{name} {value}" for name, value in database_settings(Path(folder)).items())}
        for name, value in told.items():
            print(f"{name}: {value}")
        for name in arguments.only or _GROUPS:
            print(f"\n{name}: {(_GROUPS[name].__doc__ or '').splitlines()[0]}", flush=True)
            try:
                measured = _GROUPS[name](Path(folder), _QUICK if arguments.quick else Plan())
            except BenchError as error:
                print(f"bench: {error}", file=sys.stderr)
                return 2
            print(table(measured), flush=True)
            figures += measured
    out.mkdir(parents=True, exist_ok=True)
    (out / "bench.json").write_text(document(figures, told), "utf-8")
    (out / "bench.svg").write_text(plot(figures), "utf-8")
    print(f"\nwritten: {out / 'bench.json'}, {out / 'bench.svg'}")
    short = [figure for figure in figures if not figure.holds]
    for figure in short:
        print(f"falls short: {figure.name} {figure.what}", file=sys.stderr)
    return 1 if short else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="short runs: whether it works, not how fast")
    parser.add_argument("--only", action="append", choices=list(_GROUPS), help="measure these alone (repeatable)")
    parser.add_argument("--out", default="build/bench", help="folder for bench.json and bench.svg (build/bench)")
    parser.add_argument(
        "--disk", help="folder on the disk to measure on (default: the system's for what is temporary)"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
