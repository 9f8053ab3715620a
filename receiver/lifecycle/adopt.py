"""Adopt: take over a generation that was started elsewhere, by the id its provider gave it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from receiver.domain.adoption import adopt as adopted
from receiver.domain.adoption import request_of
from receiver.domain.errors import FieldProblem, InvalidRequestError, UnavailableError
from receiver.domain.task import Task
from receiver.lifecycle.ports import Caller, Once, Ports, Queue
from receiver.lifecycle.posting import notify_url_problems


@dataclass(frozen=True, slots=True)
class Adoption:
    """What a caller tells of a generation. ``count`` is how many results were asked for there, None for one."""

    provider: str
    provider_task_id: str
    count: int | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    deadline_seconds: float | None = None
    notify_url: str | None = None


async def adopt(ports: Ports, asked: Adoption, caller: Caller | None = None) -> tuple[Task, bool]:
    """Check what is asked, make the task durable and return it, submitted and due for a look.

    With a ``caller``, asking the same again within a day returns the first task, and True beside it. Raises
    InvalidRequestError naming every field at fault, TakenError when another task stands for that generation,
    ReusedKeyError, UnavailableError when it cannot be stored.
    """
    provider = ports.providers.get(asked.provider)
    if provider is None:
        known = ", ".join(sorted(ports.providers))
        raise InvalidRequestError((FieldProblem("provider", f"must be one of: {known}"),))
    checked = provider.adoptable(asked.provider_task_id, asked.count)
    problems = list(checked.problems)
    if not provider.configured:
        problems.append(
            FieldProblem("provider", f"no key is set for {provider.name}: set {provider.name.upper()}_API_KEY")
        )
    problems += await notify_url_problems(ports, asked.notify_url)
    if problems:
        raise InvalidRequestError(tuple(problems))
    task = Task(
        key=ports.system.new_key(),
        id=ports.system.new_id(),
        request=replace(request_of(provider.name, checked.count), notify_url=asked.notify_url),
        model="",
        created_at=ports.system.now(),
        deadline_seconds=asked.deadline_seconds or ports.limits.deadline.total_seconds(),
        metadata=asked.metadata,
        provider_task_id=checked.provider_task_id,
    )
    change = adopted(task)
    earlier = await ports.store.create(change, _once(caller, task))
    if earlier is not None:
        first = await ports.store.task(earlier)
        if first is None:
            raise UnavailableError("the task this idempotency key stands for is not there")
        return first, True
    ports.metrics.count("tasks_adopted", provider=provider.name)
    ports.wake(Queue.POLL)
    return change.task, False


def _once(caller: Caller | None, task: Task) -> Once | None:
    """Name what is asked by its digest."""
    if caller is None:
        return None
    said = {
        "adopt": [task.provider, task.provider_task_id, task.expected],
        "metadata": dict(task.metadata),
        "deadline_seconds": task.deadline_seconds,
    }
    if task.request.notify_url is not None:
        said["notify_url"] = task.request.notify_url
    text = json.dumps(said, sort_keys=True)
    return Once(caller.id, caller.idempotency_key, hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())
