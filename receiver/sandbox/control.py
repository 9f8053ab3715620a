"""The sandbox's own routes: the ledger, the faults, and a sign of life."""

from dataclasses import asdict

from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import Response

from receiver.sandbox.faults_reader import FaultsError, faults_document, faults_from_document
from receiver.sandbox.ledger import accepted_generations, counts_document, ledger_body
from receiver.sandbox.state import State
from receiver.sandbox.wire import BodyError, json_response, read_json

_MAX_FAULTS_BYTES = 64 * 1024


class Control:
    """`/_sandbox/…` and `/healthz`, over the state of one sandbox."""

    def __init__(self, state: State) -> None:
        """Keep the state."""
        self._state = state

    async def ledger(self, _: Request) -> Response:
        """Answer GET /_sandbox/ledger; written off the event loop, since thousands of tasks take a while."""
        body = await run_sync(ledger_body, accepted_generations(self._state))
        return Response(body, media_type="application/json")

    async def counts(self, _: Request) -> Response:
        """Answer GET /_sandbox/counts: the ledger in a few numbers, cheap enough to wait on."""
        counts = counts_document(accepted_generations(self._state))
        return json_response({"under_way": self._state.under_way, **counts})

    async def show_faults(self, _: Request) -> Response:
        """Answer GET /_sandbox/faults with every fault and switch as it stands."""
        return json_response(faults_document(self._state.faults))

    async def replace_faults(self, request: Request) -> Response:
        """Answer PUT /_sandbox/faults: replaces all; 422 names every unknown fault and every wrong value."""
        try:
            document = await read_json(request, _MAX_FAULTS_BYTES)
        except BodyError as error:
            return json_response({"errors": [{"field": None, "message": str(error)}]}, 400)
        if not isinstance(document, dict):
            return json_response({"errors": [{"field": None, "message": "must be an object of faults"}]}, 422)
        try:
            self._state.faults = faults_from_document(document)
        except FaultsError as error:
            return json_response({"errors": [asdict(mistake) for mistake in error.mistakes]}, 422)
        return json_response(faults_document(self._state.faults))

    async def health(self, _: Request) -> Response:
        """Answer GET /healthz."""
        return json_response({"status": "ok"})
