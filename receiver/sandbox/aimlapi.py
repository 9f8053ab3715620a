"""AIMLAPI's audio generations: submit, then ask until it is done; it never calls back.

Sources: AIMLAPI docs, music-cover page, and request tracing and cost page.
"""

from starlette.requests import Request
from starlette.responses import Response

from receiver.sandbox.aimlapi_fields import check_request
from receiver.sandbox.aimlapi_words import (
    Words,
    generation_words,
    headers,
    is_well_formed,
    make_id,
    read_client_request_id,
    refused,
)
from receiver.sandbox.engine import Engine, sign_anew
from receiver.sandbox.generation import Generation, Provider
from receiver.sandbox.refusals import Refusal, refuse_look, refuse_submit
from receiver.sandbox.spoil import bad_gateway, lost_answer, spoiled
from receiver.sandbox.state import State
from receiver.sandbox.wire import BodyError, BodyProblem, encode_json, json_response, read_json

_MESSAGES = {
    400: "Bad request.",
    401: "Invalid API key.",
    402: "You have run out of credits.",
    403: "You have run out of credits. Top up your balance to continue.",
    429: "Too many requests. Try again later.",
    504: "Generation timeout",
}


class Aimlapi:
    """The two calls of a generation, over the state of one sandbox."""

    def __init__(self, state: State, engine: Engine) -> None:
        """Keep the state, and the engine that runs what is accepted."""
        self._state = state
        self._engine = engine

    async def submit(self, request: Request) -> Response:
        """Answer POST /v2/generate/audio: a new, billed generation each time, whatever the request id."""
        faults = self._state.faults_for(Provider.AIMLAPI)
        denial = denied(self._state, request)
        if denial is not None:
            return denial
        try:
            document = await read_json(request, self._state.config.max_body_bytes)
        except BodyError as error:
            status = 413 if error.problem is BodyProblem.TOO_LARGE else 400
            return refused(request, faults, status, f"Invalid request body: {error}.")
        refusal = refuse_submit(self._state, Provider.AIMLAPI)
        if refusal is not None:
            return turned_away(self._state, request, refusal)
        order = check_request(document, read_client_request_id(request), faults)
        if isinstance(order, str):
            return refused(request, faults, 400, order)
        generation = self._engine.accept(order, lambda chance: make_id(chance, faults.id_form))
        if generation.chance.hits(faults.lose_submit_answer, "lose answer"):
            return lost_answer(faults.lose_submit_how)
        words: Words = {"id": generation.id, "status": "queued"}
        if faults.null_fields:
            words |= dict.fromkeys(("audio_file", "error", "meta"))
        return json_response(words, faults.submit_status, headers=headers(request, generation, faults))

    async def poll(self, request: Request) -> Response:
        """Answer GET /v2/generate/audio?generation_id=…: the generation as it stands."""
        faults = self._state.faults_for(Provider.AIMLAPI)
        denial = denied(self._state, request)
        if denial is not None:
            return denial
        generation_id = request.query_params.get("generation_id", "")
        if not generation_id:
            return refused(request, faults, 400, "generation_id: Required")
        generation = self._state.find(Provider.AIMLAPI, generation_id)
        if generation is None or generation.is_hidden(faults.hidden_seconds):
            echoed = {"x-inference-id": generation_id} if is_well_formed(generation_id) else {}
            message = "Generation with the given id was not found."
            return refused(request, faults, 404, message, more_headers=echoed)
        generation.looks += 1
        refusal = refuse_look(faults, generation.chance, generation.looks)
        if refusal is not None:
            return turned_away(self._state, request, refusal)
        return self._current(request, generation)

    def _current(self, request: Request, generation: Generation) -> Response:
        """Return a poll's answer, broken when that is drawn for this look."""
        faults = self._state.faults_for(Provider.AIMLAPI)
        generation.polls += 1
        sign_anew(self._state, generation)
        body = encode_json(generation_words(generation, faults))
        if generation.chance.hits(faults.malformed, "malformed", generation.looks):
            body = spoiled(body, generation.chance, generation.looks)
        return Response(body, headers=headers(request, generation, faults), media_type="application/json")


def denied(state: State, request: Request) -> Response | None:
    """Return the answer to a key that is not accepted: none, or the word `invalid`; else None."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and key.strip() and key.strip() != "invalid":
        return None
    message = "Missing or invalid API key. Create one at https://aimlapi.com/app/keys."
    return refused(request, state.faults_for(Provider.AIMLAPI), 401, message)


def turned_away(state: State, request: Request, refusal: Refusal) -> Response:
    """Return a request refused at the door."""
    if refusal.status == 502 and not refusal.chosen:  # noqa: PLR2004 - a gateway speaks HTML
        return Response(bad_gateway(), 502, media_type="text/html")
    faults = state.faults_for(Provider.AIMLAPI)
    message = _MESSAGES.get(refusal.status, "Something went wrong.")
    return refused(request, faults, refusal.status, message, more_headers=refusal.headers)
