"""The yardstick: Starlette that reads the same body and answers JSON.

`python -m tests.bench.peers.starlette_reads PORT`

It verifies nothing and keeps nothing, so it is what the framework alone costs.
"""

import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


async def _take(request: Request) -> Response:
    await request.body()
    return JSONResponse({"status": "accepted"})


def main() -> None:
    """Serve until SIGTERM."""
    app = Starlette(routes=[Route("/callbacks/{provider}/{token}", _take, methods=["POST"])])
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[-1]), access_log=False, log_level="warning", backlog=2048)


if __name__ == "__main__":
    main()
