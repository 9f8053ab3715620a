"""Tasks, results, events and reports as every route shows them: what is unknown is null, never absent."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from anyio.lowlevel import checkpoint

from receiver.domain.request import InlineAudio, TaskRequest
from receiver.domain.result import ArtifactStatus, Result
from receiver.domain.task import Task
from receiver.domain.token import Purpose
from receiver.domain.waiting import Resting, Waiting, waiting
from receiver.lifecycle.ports import Pause, Ports, RecordedEvent, ReportSummary
from receiver.web.redaction import MASK, Redactor

#: How long a link made for a player works.
DOWNLOAD_LIFETIME = timedelta(minutes=15)
#: A download token names a result; no provider takes part in it.
DOWNLOAD_PROVIDER = ""
_MICROS = 1_000_000


@dataclass(frozen=True, slots=True)
class Presenter:
    """Makes JSON values. ``base`` is put before the links made for callers; empty for relative ones."""

    ports: Ports
    redactor: Redactor
    base: str = ""

    async def tasks(self, tasks: Sequence[Task]) -> list[dict[str, object]]:
        """Return tasks; their download links are made anew and live 15 minutes."""
        under_way = any(not task.status.terminal for task in tasks)
        pauses = await self.ports.store.pauses() if under_way else {}
        shown = []
        for task in tasks:
            shown.append(self._task(task, pauses.get(task.provider)))
            # A page of large tasks takes long enough to let others have a turn.
            await checkpoint()
        return shown

    async def task(self, task: Task) -> dict[str, object]:
        """Return one task."""
        [shown] = await self.tasks([task])
        return shown

    def _task(self, task: Task, pause: Pause | None) -> dict[str, object]:
        shown: dict[str, object] = {
            "id": str(task.id),
            "provider": task.provider,
            "model": task.model or None,
            "status": task.status.value,
            "overdue": task.overdue,
            "created_at": time(task.created_at),
            "submitted_at": time(task.submitted_at),
            "settled_at": time(task.settled_at),
            "completed_at": time(task.completed_at),
            "deadline_at": time(task.deadline_at),
            "erased_at": time(task.erased_at),
            "waiting": self._waiting(task, pause),
            "metadata": dict(task.metadata),
            "warnings": [{"field": warning.field, "message": warning.message} for warning in task.warnings],
            "provider_task_id": task.provider_task_id,
            "request": request(task.request, task.deadline_seconds),
            "results": [],  # below: their links are ours to show
            "errors": [
                {
                    "code": error.code.value,
                    "message": error.message,
                    "retryable": error.retryable,
                    "provider_code": error.provider_code,
                }
                for error in task.errors
            ],
            "cost_usd": dollars(task.cost_micros),
            "polls": task.polls,
            "callbacks": task.callbacks,
        }
        clean = self._clean(shown)
        clean["results"] = [self.result(task, result) for result in sorted(task.results, key=lambda one: one.index)]
        return clean

    def _waiting(self, task: Task, pause: Pause | None) -> dict[str, object] | None:
        found = self.waiting_for(task, pause)
        if found is None:
            return None
        return {"for": found.what.value, "message": found.message, "until": time(found.until)}

    def waiting_for(self, task: Task, pause: Pause | None) -> Waiting | None:
        """Return what a task waits for, as far as this process knows; a provider's words are as they came."""
        provider = self.ports.providers.get(task.provider)
        learned = self.ports.schedules.learned.get((task.provider, task.model))
        return waiting(
            task,
            self.ports.system.now(),
            resting=None if pause is None else Resting(pause.until, pause.error),
            has_key=provider is not None and provider.configured,
            trouble=self.ports.store.trouble,
            learned_from=0 if learned is None else learned.tasks,
            unheard=task.provider in self.ports.schedules.unheard,
        )

    def result(self, task: Task, result: Result) -> dict[str, object]:
        """Return one result of a task."""
        artifact = result.artifact
        path = audio_path(task.id, result.id)
        clean = self._clean(
            {
                "id": str(result.id),
                "index": result.index,
                "provider_result_id": result.provider_result_id,
                "via": result.via.value,
                "late": result.late,
                "seed": result.seed,
                "cost_usd": dollars(result.cost_micros),
                "received_at": time(result.received_at),
                "url": result.link,
                "url_expires_at": time(result.link_expires_at),
            }
        )
        clean["download_url"] = None
        if artifact.status is ArtifactStatus.STORED:
            expires_at = self.ports.system.now() + DOWNLOAD_LIFETIME
            token = self.ports.tokens.issue(Purpose.DOWNLOAD, DOWNLOAD_PROVIDER, result.id, expires_at)
            clean["download_url"] = f"{self.base}{path}?token={token}"
        clean["artifact"] = {
            "status": artifact.status.value,
            "url": path,
            "bytes": artifact.size,
            "sha256": artifact.sha256,
            "media_type": artifact.media_type,
            "duration_seconds": _finite(artifact.duration_seconds),
        }
        return clean

    def event(self, event: RecordedEvent) -> dict[str, object]:
        """Return one line of a timeline."""
        return self._clean(
            {
                "id": event.id,
                "task_id": str(event.task_id),
                "seq": event.seq,
                "type": event.type,
                "at": time(event.at),
                "data": dict(event.data),
            }
        )

    def report(self, task_id: UUID, report: ReportSummary) -> dict[str, object]:
        """Return what is known of a report, without its body."""
        return self._clean(
            {
                "id": str(report.id),
                "task_id": str(task_id),
                "provider": report.provider,
                "via": report.via.value,
                "received_at": time(report.received_at),
                "bytes": report.size,
                "sha256": report.sha256.hex(),
                "sliced": report.sliced,
                "duplicate_of": str(report.duplicate_of) if report.duplicate_of else None,
                "verdict": report.verdict.value if report.verdict else None,
                "reason": report.reason,
            }
        )

    def _clean(self, shown: Mapping[str, object]) -> dict[str, object]:
        return {name: self.redactor.value(value) for name, value in shown.items()}


def task_path(task_id: UUID) -> str:
    """Return where a task is found."""
    return f"/v1/tasks/{task_id}"


def audio_path(task_id: UUID, result_id: UUID) -> str:
    """Return where the audio of a result is found."""
    return f"{task_path(task_id)}/results/{result_id}/audio"


def request(asked: TaskRequest, deadline_seconds: float) -> dict[str, object]:
    """Return a request as it was validated; inline audio as its hash and size, an upload link without its query."""
    reference: object = asked.reference_audio or None
    if isinstance(reference, InlineAudio):
        reference = {"sha256": reference.sha256, "bytes": reference.size}
    return {
        "provider": asked.provider,
        "model": asked.model or None,
        "prompt": asked.prompt or None,
        "reference_audio": reference,
        "lyrics": asked.lyrics,
        "count": asked.count,
        "seed": asked.seed,
        "output_format": asked.output_format,
        "output_type": asked.output_type,
        "sample_rate": asked.sample_rate,
        "bitrate": asked.bitrate,
        "ttl_seconds": asked.ttl_seconds,
        "include_cost": asked.include_cost,
        "upload_endpoint": masked(asked.upload_endpoint),
        "notify_url": masked(asked.notify_url),
        "provider_options": dict(asked.provider_options),
        "deadline_seconds": deadline_seconds,
    }


def masked(link: str | None) -> str | None:
    """Return a link without what may be secret in it: user name and password, query, fragment."""
    if link is None:
        return None
    rest, mark, _ = link.partition("?")
    rest, hash_mark, _ = rest.partition("#")
    scheme, separator, place = rest.partition("://")
    host, slash, path = place.partition("/")
    if "@" in host:
        host = f"{MASK}@{host.rpartition('@')[2]}"
    shown = f"{scheme}{separator}{host}{slash}{path}"
    return f"{shown}{hash_mark or mark}{MASK}" if mark or hash_mark else shown


def time(moment: datetime | None) -> str | None:
    """Return a moment in UTC with microseconds and a Z, all of one width so that they sort as text."""
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def dollars(micros: int | None) -> float | None:
    """Return micro-dollars as dollars."""
    return None if micros is None else micros / _MICROS


def _finite(number: float | None) -> float | None:
    return number if number is not None and math.isfinite(number) else None
