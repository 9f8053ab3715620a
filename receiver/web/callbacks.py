"""The callback door: a token is verified, a body is bounded and made durable, and only then is it acknowledged."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from uuid import UUID

from starlette.types import Receive, Scope, Send

from receiver.domain.errors import TooManyBodiesError
from receiver.domain.report import NewReport
from receiver.domain.token import Purpose
from receiver.lifecycle.accept import accept, accept_soon, not_accepted, refuse_oversized
from receiver.lifecycle.ports import Appended, Ports
from receiver.web import problems
from receiver.web.bodies import (
    Lingering,
    NoRoomError,
    Room,
    TooLargeError,
    TooSlowError,
    read_body,
)
from receiver.web.config import WebConfig
from receiver.web.doorbook import DoorBook
from receiver.web.entrance import Answer, Plain
from receiver.web.faults import log_fault

_log = logging.getLogger("receiver.web")
#: /callbacks/<provider>/<token> split at its slashes.
_PARTS = 4
_LONGEST_CONTENT_TYPE = 200
#: Tasks of which it is remembered that a callback was too large; the metrics count every one.
MOST_TOLD_OF = 1000


def _refusal(kind: problems.Kind, *headers: tuple[str, str], closes: bool = False) -> Answer:
    return Answer(kind.status, problems.render(kind), problems.MEDIA_TYPE, *headers, closes=closes)


_LATER = ("retry-after", str(problems.RETRY_AFTER))
_ACCEPTED = Answer(200, b'{"status":"accepted"}', "application/json")
_DUPLICATE = Answer(200, b'{"status":"duplicate"}', "application/json")
_ALIVE = Answer(204, b"", "")
_NOT_FOUND = _refusal(problems.NOT_FOUND, closes=True)
_WRONG_METHOD = _refusal(problems.METHOD_NOT_ALLOWED, ("allow", "GET, HEAD, POST"))
_TOO_SLOW = _refusal(problems.TOO_SLOW, closes=True)
_TOO_LARGE = _refusal(problems.TOO_LARGE, closes=True)
_TOO_MANY = _refusal(problems.TOO_MANY_BODIES)
_FAULT = _refusal(problems.UNAVAILABLE, _LATER)
#: The same where the body has not been read to its end.
_FAULT_EARLY = _refusal(problems.UNAVAILABLE, _LATER, closes=True)


class CallbackDoor:
    """The ASGI application behind ``/callbacks/{provider}/{token}``; it judges nothing that a body says."""

    beginning = b"POST /callbacks/"

    def __init__(self, ports: Ports, config: WebConfig, book: DoorBook) -> None:
        """Take what every call needs, and the book to write down what came."""
        self._ports = ports
        self._config = config
        self._book = book
        # One task never takes the room of all the others.
        self._room = Room(config.callback_room_bytes, config.max_callback_bytes)
        self._told_of: OrderedDict[UUID, None] = OrderedDict()
        self._failing: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        named = self._named(scope["raw_path"])
        if named is None:
            # One answer for every address that is not ours, before a byte of the body is asked for.
            self._ports.metrics.count("callbacks_bad_token")
            await _send(send, _NOT_FOUND)
            self._book.turned_away(scope)
            return
        provider, task_key = named
        match scope["method"]:
            case "POST":
                await self._take(scope, receive, send, provider, task_key)
            case "GET" | "HEAD":
                await _send(send, _ALIVE)
            case _:
                await _send(send, _WRONG_METHOD)

    def enter(self, request: Plain, answer: Callable[[Answer], None]) -> bool:
        """Take a small callback that came whole; False for whatever else came, and where it cannot be taken."""
        named = self._named(request.path)
        if named is None or len(request.body) > self._config.max_callback_bytes:
            return False
        provider, task_key = named
        started = self._ports.system.monotonic()

        def told(report: NewReport, heard: Appended | Exception) -> None:
            if isinstance(heard, Exception):
                failing = asyncio.ensure_future(self._fail(report, heard, started, answer))
                self._failing.add(failing)
                failing.add_done_callback(self._failing.discard)
                return
            outcome, said = _kept(heard)
            try:
                self._note(provider, outcome, started)
            finally:
                answer(said)

        headers = _Headers(request.headers)
        try:
            return accept_soon(
                self._ports, provider=provider, task_key=task_key, body=request.body, headers=headers, told=told
            )
        except Exception:  # noqa: BLE001 - nothing has been done: the long way meets it too, and tells of it
            return False

    async def _fail(
        self, report: NewReport, error: Exception, started: float, answer: Callable[[Answer], None]
    ) -> None:
        """Answer a callback that could not be stored."""
        try:
            await not_accepted(self._ports, report, error)
            outcome, said = self._failed(error, report.provider, report.task_key)
        except Exception as fault:  # noqa: BLE001 - see ``_take``
            outcome, said = self._fault(fault, report.provider, report.task_key)
        try:
            self._note(report.provider, outcome, started)
        finally:
            answer(said)

    def _named(self, raw_path: bytes) -> tuple[str, UUID] | None:
        """Return the provider and the task's key that the path as sent names, or None."""
        parts = raw_path.split(b"/")
        if len(parts) != _PARTS or parts[:2] != [b"", b"callbacks"]:
            return None
        try:
            provider, token = parts[2].decode("ascii"), parts[3].decode("ascii")
        except UnicodeDecodeError:
            return None
        if provider not in self._ports.providers:
            return None
        task_key = self._ports.tokens.verify(Purpose.CALLBACK, provider, token, self._ports.system.now())
        return None if task_key is None else (provider, task_key)

    async def _take(self, scope: Scope, receive: Receive, send: Send, provider: str, task_key: UUID) -> None:
        started = self._ports.system.monotonic()
        try:
            outcome, answer = await self._accept(scope, receive, provider, task_key)
        except Exception as error:  # noqa: BLE001 - whatever goes wrong here, the provider is asked to come again
            outcome, answer = self._fault(error, provider, task_key)
        self._note(provider, outcome, started)
        if answer is not None:
            await _send(Lingering(receive, send) if answer.closes else send, answer)

    async def _accept(
        self, scope: Scope, receive: Receive, provider: str, task_key: UUID
    ) -> tuple[str, Answer | None]:
        """Return the outcome as it is counted, and the answer: None when nobody is left to read one."""
        limit, seconds = self._config.max_callback_bytes, self._config.callback_body_seconds
        # What follows a body (trailers) is no header of ours.
        headers = _Headers(dict(scope["headers"]))
        with self._room.share(task_key) as share:
            try:
                body = await read_body(scope, receive, share, limit=limit, seconds=seconds)
            except TooLargeError:
                return await self._refuse_oversized(provider, task_key)
            except TooSlowError:
                return "too_slow", _TOO_SLOW
            except NoRoomError:
                return "no_room", _FAULT_EARLY
            if body is None:
                return "broken_off", None
            return await self._keep(provider, task_key, headers, body)

    async def _keep(
        self, provider: str, task_key: UUID, headers: Mapping[str, str], body: bytes
    ) -> tuple[str, Answer]:
        try:
            return _kept(await accept(self._ports, provider=provider, task_key=task_key, body=body, headers=headers))
        except TooManyBodiesError as error:
            return self._failed(error, provider, task_key)

    def _failed(self, error: Exception, provider: str, task_key: UUID) -> tuple[str, Answer]:
        if isinstance(error, TooManyBodiesError):
            return "too_many", _TOO_MANY
        return self._fault(error, provider, task_key)

    def _fault(self, error: Exception, provider: str, task_key: UUID) -> tuple[str, Answer]:
        # The inner name: the one that callers know is in the database, which may be what is at fault.
        log_fault(_log, "callback_fault", error, provider=provider, task_key=str(task_key))
        return "fault", _FAULT

    def _note(self, provider: str, outcome: str, started: float) -> None:
        self._ports.metrics.count("callbacks", provider=provider, outcome=outcome)
        self._book.came(provider, outcome)
        self._ports.metrics.observe("callback_seconds", self._ports.system.monotonic() - started, provider=provider)

    async def _refuse_oversized(self, provider: str, task_key: UUID) -> tuple[str, Answer]:
        """Refuse for good only once the look that stands in for this callback is written down."""
        named = {"provider": provider, "task_key": str(task_key)}
        if self._is_news(task_key):
            _log.error("callback_too_large", extra={**named, "limit": self._config.max_callback_bytes})
        try:
            await refuse_oversized(self._ports, provider=provider, task_key=task_key)
        except Exception as error:  # noqa: BLE001 - a fault of ours is never told as one of theirs
            log_fault(_log, "callback_fault", error, **named)
            return "fault", _FAULT_EARLY
        return "too_large", _TOO_LARGE

    def _is_news(self, task_key: UUID) -> bool:
        """Tell whether nothing was logged of this task yet: who knows its URL decides how often there would be."""
        if task_key in self._told_of:
            return False
        self._told_of[task_key] = None
        if len(self._told_of) > MOST_TOLD_OF:
            self._told_of.popitem(last=False)
        return True


def _kept(appended: Appended) -> tuple[str, Answer]:
    return ("accepted", _ACCEPTED) if appended is Appended.ACCEPTED else ("duplicate", _DUPLICATE)


class _Headers(Mapping[str, str]):
    """The headers of a request by name (lower-case, as ASGI has them), of several alike the last.

    Each is decoded when it is asked for, the content type as it can be stored: a provider that does not sign looks at
    no other, and there are a dozen.
    """

    __slots__ = ("_sent",)

    def __init__(self, sent: Mapping[bytes, bytes]) -> None:
        self._sent = sent

    def __getitem__(self, name: str) -> str:
        value = self._sent[name.encode("latin-1", "replace")].decode("latin-1")
        return _printable(value[:_LONGEST_CONTENT_TYPE]) if name == "content-type" else value

    def __iter__(self) -> Iterator[str]:
        return (name.decode("latin-1") for name in self._sent)

    def __len__(self) -> int:
        return len(self._sent)


def _printable(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    return "".join(letter if letter.isascii() and letter.isprintable() else "?" for letter in text)


async def _send(send: Send, answer: Answer) -> None:
    await send(answer.start)
    await send(answer.body)
