"""Joins the parts into one Starlette app whose lifespan owns every background task."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from receiver.sandbox.aimlapi import Aimlapi
from receiver.sandbox.aimlapi_logs import AimlapiLogs
from receiver.sandbox.callbacks import Callbacks
from receiver.sandbox.config import SandboxConfig
from receiver.sandbox.control import Control
from receiver.sandbox.courier import Courier
from receiver.sandbox.engine import Engine
from receiver.sandbox.media import Media
from receiver.sandbox.runware import Runware
from receiver.sandbox.state import State, new_state


def create_app(config: SandboxConfig | None = None, base_url: str = "http://127.0.0.1:9090") -> Starlette:
    """Return the sandbox as an app; links in its results start with `base_url`, never with a request's Host."""
    return app_of(new_state(config or SandboxConfig(), base_url))


def app_of(state: State) -> Starlette:
    """Return the app over a state that the caller holds on to, so that it can set `state.drain`."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with Courier(state.config.ca_file) as courier:
            group = await anyio.create_task_group().__aenter__()
            app.router.routes[:] = _routes(state, Engine(state, group, Callbacks(state, courier)))
            # Entered by hand: an error of whoever runs the app passes through as it is, not in an exception group.
            try:
                yield
            finally:
                state.drain.set()
                group.cancel_scope.cancel()
                await group.__aexit__(None, None, None)

    app = Starlette(lifespan=lifespan)
    # No provider redirects a trailing slash, and Starlette would build the target from the Host header.
    app.router.redirect_slashes = False
    return app


def _routes(state: State, engine: Engine) -> list[BaseRoute]:
    """Return all routes; they exist while the sandbox runs."""
    runware, aimlapi = Runware(state, engine), Aimlapi(state, engine)
    logs, media, control = AimlapiLogs(state), Media(state), Control(state)

    async def generate_audio(request: Request) -> Response:
        return await (aimlapi.submit(request) if request.method == "POST" else aimlapi.poll(request))

    async def faults(request: Request) -> Response:
        return await (control.replace_faults(request) if request.method == "PUT" else control.show_faults(request))

    return [
        Route("/runware/v1", runware.endpoint, methods=["POST"]),
        Route("/aimlapi/v2/generate/audio", generate_audio, methods=["GET", "POST"]),
        Route("/aimlapi/v2/logs", logs.endpoint, methods=["GET"]),
        Route("/media/{path:path}", media.endpoint, methods=["GET"]),
        Route("/_sandbox/ledger", control.ledger, methods=["GET"]),
        Route("/_sandbox/counts", control.counts, methods=["GET"]),
        Route("/_sandbox/faults", faults, methods=["GET", "PUT"]),
        Route("/healthz", control.health, methods=["GET"]),
    ]
