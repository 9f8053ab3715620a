"""A receiver as it is written first: Starlette, SQLite with full durability, one commit for each request.

`python -m tests.bench.peers.one_commit FOLDER PORT`
"""

import sqlite3
import sys
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


def main() -> None:
    """Serve until SIGTERM."""
    folder, port = Path(sys.argv[-2]), int(sys.argv[-1])
    folder.mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(folder / "one_commit.db", isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    database.execute("CREATE TABLE callbacks (id INTEGER PRIMARY KEY, token TEXT NOT NULL, body BLOB NOT NULL)")

    async def take(request: Request) -> Response:
        body = await request.body()
        database.execute(
            "INSERT INTO callbacks (token, body) VALUES (?, ?)", (request.path_params["token"], body)
        ).close()
        return JSONResponse({"status": "accepted"})

    app = Starlette(routes=[Route("/callbacks/{provider}/{token}", take, methods=["POST"])])
    uvicorn.run(app, host="127.0.0.1", port=port, access_log=False, log_level="warning", backlog=2048)


if __name__ == "__main__":
    main()
