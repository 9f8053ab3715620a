"""Runware's one REST endpoint: a JSON array of tasks in, `data` and `errors` out.

Sources: Runware docs, authentication, audio inference, task polling, task details, media storage, account management
and errors pages. One POST may mix kinds of tasks; an error belongs to its task alone.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import uuid4

import anyio
from starlette.requests import Request
from starlette.responses import Response

from receiver.sandbox.engine import Engine, sign_anew
from receiver.sandbox.generation import PRICE_USD, Generation, Provider
from receiver.sandbox.reference import decoded, reference_of
from receiver.sandbox.refusals import Refusal, refuse_look, refuse_submit
from receiver.sandbox.runware_answer import Answer
from receiver.sandbox.runware_door import api_key, denied, errors_response, turned_away
from receiver.sandbox.runware_tasks import check_task
from receiver.sandbox.runware_words import TASK_TYPE, Words, current_words, identity, refused_error
from receiver.sandbox.spoil import lost_answer
from receiver.sandbox.state import State
from receiver.sandbox.wire import BodyError, BodyProblem, is_http_url, json_response, read_json

_BALANCE_USD = 100.0
_EARLY_CALLBACK_SECONDS = 6.0


class Runware:
    """The endpoint, over the state of one sandbox."""

    def __init__(self, state: State, engine: Engine) -> None:
        """Keep the state, and the engine that runs what is accepted."""
        self._state = state
        self._engine = engine

    async def endpoint(self, request: Request) -> Response:
        """Answer POST /runware/v1."""
        try:
            tasks = await read_json(request, self._state.config.max_body_bytes)
        except BodyError as error:
            status = 413 if error.problem is BodyProblem.TOO_LARGE else 400
            return errors_response(status, refused_error("invalidRequest", f"Invalid request: {error}."))
        if not isinstance(tasks, list) or not tasks or not all(isinstance(task, dict) for task in tasks):
            message = "Invalid request: the body must be an array of task objects."
            return errors_response(400, refused_error("invalidRequest", message, type="array"))
        wrong_key = denied(api_key(request, tasks))
        if wrong_key is not None:
            return errors_response(401, wrong_key)
        refusal = self._refusal(tasks)
        if refusal is not None:
            return turned_away(refusal, tasks)
        answer = Answer()
        dry_run = request.headers.get("x-runware-dry-run") == "1"
        batch = tuple(tasks)
        for task in tasks:
            await self._task(task, batch, answer, dry_run=dry_run)
        return await self._finish(answer)

    def _refusal(self, tasks: list[dict[str, Any]]) -> Refusal | None:
        """Return why this POST is turned away at the door, or None."""
        if any(task.get("taskType") == TASK_TYPE for task in tasks):
            return refuse_submit(self._state, Provider.RUNWARE)
        looked_at = [self._find(task) for task in tasks if task.get("taskType") == "getResponse"]
        known = [generation for generation in looked_at if generation is not None]
        for generation in known:
            generation.looks += 1
        if not known:
            return None
        return refuse_look(self._state.faults_for(Provider.RUNWARE), known[0].chance, known[0].looks)

    def _find(self, task: Mapping[str, Any]) -> Generation | None:
        """Return the generation that a task names by its taskUUID."""
        return self._state.find(Provider.RUNWARE, str(task.get("taskUUID")))

    async def _task(self, task: dict[str, Any], batch: tuple[object, ...], answer: Answer, *, dry_run: bool) -> None:
        """Do one task of the array."""
        match task.get("taskType"):
            case "audioInference":
                self._submit(task, batch, answer, dry_run=dry_run)
            case "getResponse":
                await self._poll(task, answer)
            case "getTaskDetails":
                await self._details(task, answer)
            case "mediaStorage":
                self._store(task, answer)
            case "accountManagement":
                answer.data.append(self._account(task))
            case "authentication":
                answer.data.append({"taskType": "authentication", "connectionSessionUUID": str(uuid4())})
            case None:
                message = "Missing required parameter 'taskType'."
                answer.refuse(400, refused_error("missingTaskType", message, parameter="taskType", type="string"))
            case _:
                message = "Unsupported value for 'taskType'."
                task_uuid = task.get("taskUUID")
                named = task_uuid if isinstance(task_uuid, str) else None
                answer.refuse(400, refused_error("unsupportedTaskType", message, named, parameter="taskType"))

    def _submit(self, task: dict[str, Any], batch: tuple[object, ...], answer: Answer, *, dry_run: bool) -> None:
        """Accept a task, or refuse it; a taskUUID is taken for as long as the sandbox runs."""
        order = check_task(task, batch, self._state.faults_for(Provider.RUNWARE))
        if isinstance(order, list):
            answer.refuse(400, *order)
            return
        if dry_run:
            price = round(PRICE_USD * order.count, 6)
            answer.data.append({"taskType": TASK_TYPE, "taskUUID": order.id, "cost": price})
            return
        known = self._find(task)
        if known is not None:
            known.submits += 1
            message = "A task with this taskUUID exists already. It must be unique for each task."
            error = refused_error("conflictTaskUUID", message, order.id, parameter="taskUUID", taskType=TASK_TYPE)
            answer.refuse(self._state.faults_for(Provider.RUNWARE).conflict_status, error)
            return
        order = replace(order, reference=self._state.stored.get(str(order.reference).lower(), order.reference))
        answer.accepted.append(self._engine.accept(order, lambda chance: chance.uuid4("id")))

    async def _poll(self, task: dict[str, Any], answer: Answer) -> None:
        """Answer getResponse: all results of a task so far, each with its own status."""
        faults = self._state.faults_for(Provider.RUNWARE)
        if not isinstance(task.get("taskUUID"), str):
            message = "Missing required parameter 'taskUUID'."
            answer.refuse(400, refused_error("missingTaskUUID", message, parameter="taskUUID", type="string"))
            return
        generation = self._find(task)
        if generation is None or generation.is_hidden(faults.hidden_seconds):
            if faults.unknown_task == "error":
                message = "No task was found with this taskUUID."
                answer.errors.append(refused_error("taskNotFound", message, str(task.get("taskUUID"))))
            return
        generation.polls += 1
        finished = generation.finished_clock
        if None not in {finished, faults.result_seconds} and _age(finished) > (faults.result_seconds or 0.0):
            answer.errors.append(refused_error("taskExpired", "This task is no longer available.", generation.id))
            return
        sign_anew(self._state, generation)
        data, errors = await current_words(self._state, generation, polled=True)
        answer.data += data
        answer.errors += errors

    async def _details(self, task: dict[str, Any], answer: Answer) -> None:
        """Answer getTaskDetails: the whole original request, callback URL and all, and the whole response."""
        generation = self._find(task)
        if generation is None:
            message = "No task was found with this taskUUID."
            answer.refuse(404, refused_error("taskNotFound", message, str(task.get("taskUUID"))))
            return
        data, errors = await current_words(self._state, generation, polled=False)
        response = ({"data": data} if data else {}) | ({"errors": errors} if errors else {})
        item = {"taskType": "getTaskDetails", "taskUUID": generation.id}
        answer.data.append(item | {"request": list(generation.order.batch), "response": response})

    def _store(self, task: dict[str, Any], answer: Answer) -> None:
        """Answer mediaStorage: of an upload only hash and size are kept, for the ledger."""
        media, task_uuid = task.get("media"), str(task.get("taskUUID"))
        if task.get("operation") != "upload" or not isinstance(media, str):
            message = "Only 'upload' with 'media' is played here."
            answer.refuse(400, refused_error("invalidOperation", message, task_uuid, parameter="operation"))
        elif not is_http_url(media) and decoded(media) is None:
            message = "Invalid value for 'media'. It must be a URL, a data URI or base64."
            answer.refuse(400, refused_error("invalidMedia", message, task_uuid, parameter="media"))
        else:
            media_uuid = str(uuid4())
            self._state.stored[media_uuid] = reference_of(media)
            words = {"taskType": "mediaStorage", "taskUUID": task_uuid, "operation": "upload"}
            url = f"{self._state.base_url}/stored/{media_uuid}"
            answer.data.append(words | {"mediaUUID": media_uuid, "mediaURL": url})

    def _account(self, task: dict[str, Any]) -> Words:
        """Answer accountManagement getDetails with the one thing that matters here: the balance."""
        spent = sum(generation.billed_usd for generation in self._state.generations[Provider.RUNWARE].values())
        return {
            "taskType": "accountManagement",
            "taskUUID": task.get("taskUUID"),
            "operation": "getDetails",
            "organizationName": "Sandbox",
            "balance": round(_BALANCE_USD - spent, 6),
        }

    async def _finish(self, answer: Answer) -> Response:
        """Wait for what is synchronous or calls back early, and give the answer."""
        faults = self._state.faults_for(Provider.RUNWARE)
        if any(generation.chance.hits(faults.lose_submit_answer, "lose answer") for generation in answer.accepted):
            return lost_answer(faults.lose_submit_how)
        for generation in answer.accepted:
            if generation.calls_back_early:
                await self._state.wait(generation.called_back, _EARLY_CALLBACK_SECONDS)
            if generation.order.webhook_url or generation.order.wire.get("deliveryMethod") == "async":
                answer.data += [identity(generation)] if faults.ack == "item" else []
            elif await self._state.wait(generation.finished):
                data, errors = await current_words(self._state, generation, polled=False)
                answer.data += data
                answer.errors += errors
                answer.failed += not data
            else:
                return errors_response(503, refused_error("serviceUnavailable", "The service is shutting down."))
        return json_response(answer.document(), answer.status(faults))


def _age(finished_clock: float | None) -> float:
    return anyio.current_time() - (finished_clock or 0.0)
