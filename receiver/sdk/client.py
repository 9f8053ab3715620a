"""The calls: one connection to one receiver, whose key goes to that address only."""

import asyncio
import hashlib
import ipaddress
import json
import re
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from http import HTTPStatus
from types import MappingProxyType
from typing import BinaryIO, Literal, Self, TypeVar
from urllib.parse import quote, urlsplit

import httpx

from receiver.sdk.errors import (
    AnswerLostError,
    ClientError,
    ConflictError,
    DownloadError,
    InvalidRequestError,
    NotFoundError,
    ProblemError,
    TooManyRequestsError,
    UnauthorizedError,
    UnavailableError,
    UnexpectedAnswerError,
    UnreachableError,
    UnsafeAddressError,
)
from receiver.sdk.upkeep import Replay, Statistics, erased_of, replay_of, statistics_of
from receiver.sdk.values import (
    Event,
    Page,
    Result,
    Task,
    document_of,
    events_of,
    maybe,
    objects,
    page_of,
    remark_of,
    task_of,
)
from receiver.sdk.watching import (
    FIRST_WAIT_SECONDS,
    GROWTH,
    LONGEST_WAIT_SECONDS,
    SILENCE_SECONDS,
    Position,
    events_in,
)

DEFAULT_URL = "http://127.0.0.1:8080"

_Read = TypeVar("_Read")
_NOTHING: Mapping[str, str] = MappingProxyType({})
_NOTHING_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
_CONNECT_SECONDS = 5.0
_SECONDS = re.compile(r"[0-9]{1,9}")


class Client:
    """A connection to one receiver. The key travels over https, or over http within this machine; never elsewhere."""

    def __init__(self, url: str = DEFAULT_URL, *, api_key: str, timeout_seconds: float = 30.0) -> None:
        """Check address and key; raises UnsafeAddressError."""
        local = checked_address(url)
        # As it is read from a file: with the end of its line.
        api_key = api_key.strip()
        if not api_key or not api_key.isascii() or not api_key.isprintable() or " " in api_key:
            raise UnsafeAddressError("the API key is empty or holds characters that no key has")
        self._address = url.rstrip("/")
        self._timeout_seconds = timeout_seconds
        self._http = httpx.AsyncClient(
            base_url=url.rstrip("/") + "/",
            headers={"Authorization": f"Bearer {api_key}", "Accept-Encoding": "identity"},
            follow_redirects=False,
            # Over http there is no TLS; a context that trusts nobody saves the reading of all authorities.
            verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if _is_plain(url) else True,
            # A proxy named in the environment must not see what is meant for this machine.
            trust_env=not local,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._http.aclose()

    async def submit(self, request: Mapping[str, object], *, idempotency_key: str | None = None) -> Task:
        """Ask for a generation and return its task, whose intent is durable from then on.

        With the same ``idempotency_key`` the same request gives the same task, however often it is sent.
        """
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        content = json.dumps(request).encode()
        headers["Content-Type"] = "application/json"
        async with self._answer("POST", "v1/tasks", headers=headers, content=content) as answer:
            return _read(await answer.aread(), task_of)

    async def task(self, task_id: str, *, wait_seconds: float = 0.0) -> Task:
        """Return a task; with ``wait_seconds`` (up to 60) only once it has ended or that time has passed."""
        path = f"v1/tasks/{quote(task_id, safe='')}"
        query = {"wait": f"{wait_seconds:g}"} if wait_seconds else _NOTHING
        async with self._answer("GET", path, query=query, patience_seconds=wait_seconds) as answer:
            return _read(await answer.aread(), task_of)

    async def tasks(
        self,
        *,
        status: str | None = None,
        provider: str | None = None,
        metadata: Mapping[str, str] = _NOTHING,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Page:
        """Return the tasks that fit all that is given, newest first."""
        asked = {"status": status, "provider": provider, "limit": limit, "cursor": cursor}
        query = {name: str(value) for name, value in asked.items() if value is not None}
        query |= {f"metadata.{name}": value for name, value in metadata.items()}
        async with self._answer("GET", "v1/tasks", query=query) as answer:
            return _read(await answer.aread(), page_of)

    async def events(self, task_id: str) -> tuple[Event, ...]:
        """Return the timeline of a task, oldest first."""
        async with self._answer("GET", f"v1/tasks/{quote(task_id, safe='')}/events") as answer:
            return _read(await answer.aread(), events_of)

    async def watch(
        self,
        task_id: str | None = None,
        *,
        after: int | Literal["latest"] = 0,
        patience_seconds: float = 60.0,
        on_trouble: Callable[[ClientError], None] = lambda _: None,
    ) -> AsyncGenerator[Event]:
        """Yield events as they happen, of one task until it has ended, or of all for ever; none twice, none left out.

        ``after`` begins behind the event with that id, with ``latest`` at what happens from now on. A connection that
        is lost is made again; ``on_trouble`` is told why, and once nobody has answered for ``patience_seconds`` that
        is raised.
        """
        path = "v1/events" if task_id is None else f"v1/tasks/{quote(task_id, safe='')}/events"
        position = Position(str(after) if after != "latest" and after else None)
        heard, wait = time.monotonic(), FIRST_WAIT_SECONDS
        while True:
            headers = {"Accept": "text/event-stream"}
            if position.last_id is not None:
                headers["Last-Event-ID"] = position.last_id
            query = {"after": "latest"} if after == "latest" and position.last_id is None else _NOTHING
            try:
                call = self._answer("GET", path, query=query, headers=headers, silence_seconds=SILENCE_SECONDS)
                async with call as answer:
                    if answer.status_code == HTTPStatus.NO_CONTENT:
                        return
                    heard = time.monotonic()
                    async for event in events_in(answer.aiter_raw(), position):
                        yield event
                        heard, wait = time.monotonic(), FIRST_WAIT_SECONDS
                # It came to its end: the task's, or the service is about to stop.
            except (AnswerLostError, TooManyRequestsError, UnavailableError, UnreachableError) as error:
                if time.monotonic() - heard > patience_seconds:
                    raise
                on_trouble(error)
            await asyncio.sleep(wait)
            wait = min(wait * GROWTH, LONGEST_WAIT_SECONDS)

    async def cancel(self, task_id: str) -> Task:
        """Stop waiting for a task and return it. Raises ConflictError for one that has ended otherwise."""
        return await self._operate(task_id, "cancel")

    async def refresh(self, task_id: str) -> Task:
        """Have a task looked at now and return it. Raises ConflictError for one that has ended."""
        return await self._operate(task_id, "refresh")

    async def adopt(
        self,
        provider: str,
        provider_task_id: str,
        *,
        count: int | None = None,
        metadata: Mapping[str, str] = _NOTHING,
        deadline_seconds: float | None = None,
        idempotency_key: str | None = None,
    ) -> Task:
        """Take over a generation that was started elsewhere and return its task, which is looked at from then on.

        ``count`` is how many results were asked for there, one if it is not given. Raises ConflictError when a task
        stands for that generation already.
        """
        asked: dict[str, object] = {
            "provider": provider,
            "provider_task_id": provider_task_id,
            "count": count,
            "metadata": dict(metadata),
            "deadline_seconds": deadline_seconds,
        }
        request = {name: value for name, value in asked.items() if value not in (None, {})}
        return await self.submit(request, idempotency_key=idempotency_key)

    async def erase(self, task_id: str) -> int:
        """Erase what a task holds for good, and return how many tasks that changed: 0 when it was erased before.

        The task stays as a husk of numbers and times, its audio with the status ``erased``.
        """
        async with self._answer("DELETE", f"v1/tasks/{quote(task_id, safe='')}") as answer:
            return _read(await answer.aread(), erased_of).count

    async def erase_matching(self, metadata: Mapping[str, str]) -> int:
        """Erase every task with all of this metadata, at least one pair, and return how many those were."""
        query = {f"metadata.{name}": value for name, value in metadata.items()}
        count, more = 0, True
        while more:
            async with self._answer("DELETE", "v1/tasks", query=query) as answer:
                erased = _read(await answer.aread(), erased_of)
            count, more = count + erased.count, erased.more
        return count

    async def replay(
        self,
        *,
        task_id: str | None = None,
        provider: str | None = None,
        since: datetime | None = None,
        apply: bool = False,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Replay:
        """Have stored reports read again: those of a task, or of a provider, or since a moment; a page at a time.

        Without ``apply`` nothing changes: the answer shows what would.
        """
        asked = {
            "task_id": task_id,
            "provider": provider,
            "since": None if since is None else since.isoformat(),
            "limit": limit,
            "cursor": cursor,
        }
        request = {"apply": apply, **{name: value for name, value in asked.items() if value is not None}}
        content, headers = json.dumps(request).encode(), {"Content-Type": "application/json"}
        async with self._answer("POST", "v1/replay", headers=headers, content=content) as answer:
            return _read(await answer.aread(), replay_of)

    async def stats(self, *, since: datetime | None = None) -> tuple[Statistics, ...]:
        """Return figures by provider and model: of tasks under way, and of those that ended since a moment."""
        query = _NOTHING if since is None else {"since": since.isoformat()}
        async with self._answer("GET", "v1/stats", query=query) as answer:
            return _read(await answer.aread(), statistics_of)

    async def download(self, task: Task, result: Result, into: BinaryIO) -> None:
        """Write the stored audio of a result into ``into``; length and sha256 must be those that the task names."""
        artifact = result.artifact
        if artifact.status != "stored" or artifact.size is None or artifact.sha256 is None:
            raise DownloadError(f"the audio is not stored, but {artifact.status}")
        digest, arrived = hashlib.sha256(), 0
        async with self._answer("GET", f"v1/tasks/{task.id}/results/{result.id}/audio") as answer:
            if "content-encoding" in answer.headers:
                raise DownloadError("the audio came encoded by something in between")
            async for chunk in answer.aiter_raw():
                arrived += len(chunk)
                if arrived > artifact.size:
                    raise DownloadError(f"the audio should have {artifact.size} bytes; more came")
                digest.update(chunk)
                into.write(chunk)
        if arrived != artifact.size:
            raise DownloadError(f"the audio should have {artifact.size} bytes; {arrived} came")
        if digest.hexdigest() != artifact.sha256.lower():
            raise DownloadError("the audio that came does not have the sha256 that the task names")

    async def _operate(self, task_id: str, what: str) -> Task:
        async with self._answer("POST", f"v1/tasks/{quote(task_id, safe='')}/{what}") as answer:
            return _read(await answer.aread(), task_of)

    @asynccontextmanager
    async def _answer(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] = _NOTHING,
        headers: Mapping[str, str] = _NOTHING,
        content: bytes | None = None,
        patience_seconds: float = 0.0,
        silence_seconds: float | None = None,
    ) -> AsyncIterator[httpx.Response]:
        """Send, and give the answer of a request that succeeded; raise what any other outcome means.

        ``silence_seconds`` is how long an answer may pause, in place of the time for a usual one.
        """
        seconds = silence_seconds or self._timeout_seconds + patience_seconds
        timeout = httpx.Timeout(seconds, connect=min(_CONNECT_SECONDS, seconds))
        call = self._http.stream(
            method, path, params=dict(query) or None, content=content, headers=dict(headers), timeout=timeout
        )
        try:
            async with call as answer:
                if not answer.is_success:
                    await answer.aread()
                    raise _refusal(answer)
                yield answer
        except _NOTHING_SENT as error:
            raise UnreachableError(self._address, str(error) or type(error).__name__) from error
        except httpx.TimeoutException as error:
            raise AnswerLostError(f"no answer within {seconds:g} seconds") from error
        except httpx.TransportError as error:
            raise AnswerLostError(str(error) or type(error).__name__) from error


def checked_address(url: str) -> bool:
    """Return whether an address is on this machine; raise UnsafeAddressError when it is none to send a key to."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise UnsafeAddressError("the address cannot be read; it should look like https://receiver.example") from None
    if parts.scheme not in {"http", "https"} or not host or parts.query or parts.fragment or not url.isprintable():
        raise UnsafeAddressError("the address should look like https://receiver.example")
    if parts.username is not None or parts.password is not None:
        raise UnsafeAddressError("the address must not hold a user name or a password")
    local = _is_this_machine(host)
    if parts.scheme == "http" and not local:
        raise UnsafeAddressError("over http a key is sent within this machine only; use https")
    return local


def _is_plain(url: str) -> bool:
    return urlsplit(url).scheme == "http"


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _read(body: bytes, read: Callable[[Mapping[str, object]], _Read]) -> _Read:
    try:
        return read(document_of(body))
    except (ValueError, RecursionError) as error:
        raise UnexpectedAnswerError(f"the answer is none that a receiver gives: {error}") from None


def _refusal(answer: httpx.Response) -> ClientError:
    """Return the error that an answer other than a success stands for."""
    status = answer.status_code
    if answer.is_redirect:
        target = answer.headers.get("location")
        if target is None:
            return UnexpectedAnswerError(f"the answer is HTTP {status}, a redirect that does not say where to")
        return UnexpectedAnswerError(f"the answer redirects to {target}; no key is sent there")
    document: Mapping[str, object] = {}
    try:
        document = document_of(answer.content)
        title, detail = maybe(document, "title", str), maybe(document, "detail", str)
        remarks = tuple(remark_of(item) for item in objects(document, "errors")) if document.get("errors") else ()
    except (ValueError, RecursionError):
        title, detail, remarks = None, None, ()
    kind = UnavailableError if answer.is_server_error else _PROBLEMS.get(status, ProblemError)
    if title is None and kind in {ProblemError, NotFoundError}:
        return UnexpectedAnswerError(f"the answer is HTTP {status}, which no receiver gives")
    wait = answer.headers.get("retry-after", "")
    return kind(
        status,
        title or f"HTTP {status}",
        detail if detail and detail != title else "",
        remarks=remarks,
        retry_after_seconds=int(wait) if _SECONDS.fullmatch(wait) else None,
        document=document,
    )


_PROBLEMS: Mapping[int, type[ProblemError]] = MappingProxyType(
    {
        HTTPStatus.BAD_REQUEST: InvalidRequestError,
        HTTPStatus.UNAUTHORIZED: UnauthorizedError,
        HTTPStatus.FORBIDDEN: UnauthorizedError,
        HTTPStatus.NOT_FOUND: NotFoundError,
        HTTPStatus.CONFLICT: ConflictError,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE: InvalidRequestError,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE: InvalidRequestError,
        HTTPStatus.UNPROCESSABLE_ENTITY: InvalidRequestError,
        HTTPStatus.TOO_MANY_REQUESTS: TooManyRequestsError,
    }
)
