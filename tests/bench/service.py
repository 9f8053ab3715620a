"""The service under measure: `python -m tests.bench.service FOLDER PORT [--settle] [--database URL] [--polls URL]`.

Without `--settle` no worker runs: what is measured is receiving alone. Embedded, the command line knows one role
only; here the same code is started with the role `callbacks`. `--polls` names where both providers
are asked about tasks.
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
    database, provider = _given(options, "--database"), _given(options, "--polls")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(
            serve(
                loaded_for(Path(folder), database, provider=provider),
                host="127.0.0.1",
                port=int(port),
                roles=roles,
                ready=_say,
            )
        )


def _given(options: list[str], name: str) -> str | None:
    return options[options.index(name) + 1] if name in options else None


def _say(url: str) -> None:
    sys.stdout.write(f"{url}\n")


if __name__ == "__main__":
    main()
