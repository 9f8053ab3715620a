"""The pages alone, over a database that nobody works on: `python -m tests.browser.service FOLDER PORT`.

No worker runs, so that what is shown stays as it was written.
"""

import asyncio
import sys

from receiver.bootstrap import load_settings, serve
from tests.harness import API_KEY


def main() -> None:
    """Serve until SIGTERM."""
    folder, port = sys.argv[1:]
    loaded = load_settings(
        {
            "RECEIVER_DATA_DIR": folder,
            "RECEIVER_API_KEYS": API_KEY,
            "RUNWARE_API_KEY": "key-of-no-account",
            "AIMLAPI_API_KEY": "key-of-no-account",
            "RECEIVER_LOG_LEVEL": "warning",
        }
    )
    asyncio.run(serve(loaded, host="127.0.0.1", port=int(port), roles=frozenset({"api", "callbacks"}), ready=_say))


def _say(url: str) -> None:
    sys.stdout.write(f"{url}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
