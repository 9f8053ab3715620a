"""Transcript: calls to a provider as people may read them, without what opens anything, and cut to a bound.

What a submit sent is not masked afterwards: it is built once more, as the adapter builds it, of a request in which
the secrets never were. What a provider answered may repeat them: it is shown like every word of theirs.
"""

from urllib.parse import urlsplit

from receiver.domain.exchange import HttpAnswer, HttpRequest
from receiver.domain.request import InlineAudio
from receiver.domain.task import Task
from receiver.domain.values import replace
from receiver.lifecycle.ports import Ports, Provider

#: Of a call and of its answer so many bytes are kept.
MOST_KEPT = 16 * 1024
MASK = "[redacted]"
#: Longer text without a scheme is audio: no media id is that long.
_LONGEST_ID = 256
_SCHEME = 64
#: Headers whose value may be read by anybody; of an answer, those that a provider's support asks for.
_PLAIN = frozenset({"accept", "content-type"})
_TELLING = ("content-type", "retry-after", "x-request-id", "cf-ray", "location")


def of_submit(
    ports: Ports, provider: Provider, task: Task, *, reference: str, callback_url: str | None
) -> bytes | None:
    """Return what a submit sent; None when it can not be told, which never keeps anything from being sent."""
    asked = replace(task.request, upload_endpoint=_without_query(task.request.upload_endpoint))
    try:
        request = provider.submit(
            replace(task, request=asked),
            reference=_reference(ports, task, reference),
            callback_url=None if callback_url is None else f"{callback_url.rpartition('/')[0]}/{MASK}",
        )
        return of_request(request, str(task.id))
    except Exception:  # noqa: BLE001 - an adapter may judge what it is given, and a mask is not what it is for
        return None


def of_poll(provider: Provider, task: Task) -> bytes | None:
    """Return what a look at a task alone asks, as it would be asked now; None for one that can not be asked about."""
    try:
        return of_request(provider.poll([task]), str(task.id))
    except ValueError:
        return None


def of_request(request: HttpRequest, task_id: str) -> bytes:
    """Return a request as text: its line, its headers (masked unless known to be plain), its body."""
    lines = [f"{request.method} {request.url}"]
    for name, value in request.headers.items():
        lines.append(f"{name}: {value if name.lower() in _PLAIN or value == task_id else MASK}")
    return _cut(lines, request.body or b"")


def of_answer(answer: HttpAnswer) -> bytes:
    """Return an answer as text: its code, those of its headers that tell something, its body."""
    told = [f"{name}: {answer.headers[name]}" for name in _TELLING if name in answer.headers]
    return _cut([f"HTTP {answer.status}", *told], answer.body)


def _cut(lines: list[str], body: bytes) -> bytes:
    head = "\n".join(lines).encode("utf-8", "replace")
    return (head + b"\n\n" + body[:MOST_KEPT] if body else head)[:MOST_KEPT]


def _reference(ports: Ports, task: Task, reference: str) -> str:
    """Return the reference audio as it may be read: a link without what signs it, audio as its size."""
    asked = task.request.reference_audio
    if "://" not in reference[:_SCHEME]:
        name = f"sha256 {asked.sha256}" if isinstance(asked, InlineAudio) else asked
        return reference if len(reference) <= _LONGEST_ID else f"[{len(reference)} characters of base64, {name}]"
    inputs = f"{(ports.limits.public_url or '').rstrip('/')}/inputs/"
    return f"{inputs}{MASK}" if reference.startswith(inputs) else _without_query(reference) or ""


def _without_query(link: str | None) -> str | None:
    if link is None or "?" not in link:
        return link
    try:
        parts = urlsplit(link)
    except ValueError:
        return MASK
    return parts._replace(query=MASK, fragment="").geturl()
