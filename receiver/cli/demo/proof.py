"""The proof of the demo: every file is on disk, and holds the bytes that the providers' own ledger names."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from receiver.sdk import Result, Task

_CHUNK_BYTES = 1024 * 1024

_HASH_LETTERS = 64


@dataclass(frozen=True, slots=True)
class Exhibit:
    """One result of a task and its file; without a result where none came."""

    task: Task
    result: Result | None
    file: Path | None


@dataclass(frozen=True, slots=True)
class Proof:
    """What there is to show, and what is wrong with it; nothing when all is well."""

    exhibits: tuple[Exhibit, ...]
    problems: tuple[str, ...]


def prove(tasks: Sequence[Task], ledger: Mapping[str, object], audio: Path) -> Proof:
    """Compare tasks, files and ledger. ``audio`` is the folder of the artifact store."""
    exhibits: list[Exhibit] = []
    problems: list[str] = []
    entries = _objects(ledger.get("tasks"))
    for task in tasks:
        if task.status != "succeeded":
            reasons = "; ".join(f"{error.code}: {error.message}" for error in task.errors)
            problems.append(f"{task.id} is {task.status}" + (f" ({reasons})" if reasons else ""))
        elif len(task.results) != task.expected:
            problems.append(f"{task.id} has {len(task.results)} results of {task.expected}")
        theirs = [entry for entry in entries if task.provider_task_id == entry.get("provider_task_id")]
        if len(theirs) != 1 or theirs[0].get("provider") != task.provider:
            problems.append(f"{task.id} is {len(theirs)} times in the ledger of the providers")
        if not task.results:
            exhibits.append(Exhibit(task, None, None))
        made = {str(result.get("sha256")) for entry in theirs for result in _objects(entry.get("results"))}
        for result in task.results:
            file = _file(audio, result)
            exhibits.append(Exhibit(task, result, file))
            problems += [f"{task.id}, result {result.index}: {wrong}" for wrong in _wrong(result, file, made)]
    if len(entries) != len(tasks):
        problems.append(f"the ledger of the providers has {len(entries)} tasks, we have {len(tasks)}")
    return Proof(tuple(exhibits), tuple(problems))


def _file(audio: Path, result: Result) -> Path | None:
    """Return the file of a result: named by its sha256, with an ending that says its format."""
    name = result.artifact.sha256 or ""
    if len(name) != _HASH_LETTERS or not name.isalnum():
        return None
    found = sorted((audio / name[:2]).glob(f"{name}.*"))
    return found[0] if found else None


def _wrong(result: Result, file: Path | None, made: set[str]) -> list[str]:
    if file is None:
        return ["its audio is not on disk"]
    digest, size = _measured(file)
    wrong = []
    if (digest, size) != (result.artifact.sha256, result.artifact.size):
        wrong.append(f"{file} does not hold the bytes that the task names")
    if digest not in made:
        wrong.append(f"{file} does not hold the bytes that the provider made")
    return wrong


def _measured(file: Path) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
    return digest.hexdigest(), size


def _objects(value: object) -> list[Mapping[str, object]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
