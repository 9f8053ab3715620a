"""The service under measure: `python -m tests.bench.service FOLDER PORT [--settle] [--database URL]`.

Without `--settle` no worker runs: what is measured is receiving alone. Embedded, the command line knows
one role only; here the same code is started with the role `callbacks`.
"""

import asyncio
import sys
from pathlib import Path

import uvloop

from receiver.bootstrap import serve
from tests.bench.fixtures import loaded_for


def main() -> None:
    """Serve until SIGTERM."""
    folder, port, *options = sys.argv[1:]
    roles = frozenset({"all"}) if "--settle" in options else frozenset({"callbacks"})
    database = options[options.index("--database") + 1] if "--database" in options else None
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(
            serve(loaded_for(Path(folder), database), host="127.0.0.1", port=int(port), roles=roles, ready=_say)
        )


def _say(url: str) -> None:
    sys.stdout.write(f"{url}\n")


if __name__ == "__main__":
    main()
