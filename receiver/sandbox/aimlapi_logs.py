"""AIMLAPI's log of finished generations: the only way to find a submit whose answer was lost.

Source: AIMLAPI docs, request tracing and cost page. Newest first; no filter by client_request_id; a window of at
most 92 days must be named; 200 requests a minute.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import anyio
from starlette.requests import Request
from starlette.responses import Response

from receiver.sandbox.aimlapi import denied, turned_away
from receiver.sandbox.aimlapi_words import CREDITS_OF_A_DOLLAR, Words, headers, refused
from receiver.sandbox.chance import Chance
from receiver.sandbox.generation import Generation, Provider, Status
from receiver.sandbox.refusals import refuse_look
from receiver.sandbox.state import State
from receiver.sandbox.wire import json_response

_LONGEST_WINDOW = timedelta(days=92)
_PERIOD = re.compile(r"([1-9][0-9]{0,3})([hd])")
_STATUSES = {"succeeded": Status.SUCCESS, "failed": Status.ERROR}
_MINUTE_SECONDS = 60.0
_DEFAULT_LIMIT = 50
_LARGEST_LIMIT = 100
_LARGEST_OFFSET = 1_000_000


@dataclass(frozen=True, slots=True)
class _Query:
    """What a caller asks for; times include both ends."""

    start: datetime
    end: datetime
    statuses: frozenset[Status]
    model: str | None
    limit: int
    offset: int


class AimlapiLogs:
    """GET /v2/logs over the state of one sandbox."""

    def __init__(self, state: State) -> None:
        """Keep the state; requests are counted for their rate and for their faults."""
        self._state = state
        self._requests = 0

    async def endpoint(self, request: Request) -> Response:
        """Answer with one page of finished generations."""
        faults = self._state.faults_for(Provider.AIMLAPI)
        denial = denied(self._state, request)
        if denial is not None:
            return denial
        if self._is_too_fast(faults.logs_per_minute):
            return refused(request, faults, 429, "Too many requests. Try again later.")
        self._requests += 1
        chance = Chance(self._state.config.seed, "aimlapi logs", self._requests)
        refusal = refuse_look(faults, chance, 0)
        if refusal is not None:
            return turned_away(self._state, request, refusal)
        query = _read_query(request)
        if isinstance(query, str):
            return refused(request, faults, 400, query)
        rows = self._rows(query)
        page = rows[query.offset : query.offset + query.limit]
        pagination = {
            "limit": query.limit,
            "offset": query.offset,
            "total": len(rows),
            "has_more": query.offset + len(page) < len(rows),
        }
        document = {"data": [_row(generation) for generation in page], "pagination": pagination}
        return json_response(document, headers=headers(request, None, faults))

    def _is_too_fast(self, per_minute: int) -> bool:
        """Count this request, and say whether it is one too many within a minute."""
        now, asked = anyio.current_time(), self._state.logs_asked
        while asked and now - asked[0] >= _MINUTE_SECONDS:
            asked.popleft()
        if len(asked) >= per_minute:
            return True
        asked.append(now)
        return False

    def _rows(self, query: _Query) -> list[Generation]:
        """Return the finished generations of the window, newest first."""
        accepted = self._state.generations[Provider.AIMLAPI].values()
        return [
            generation
            for generation in reversed(accepted)
            if generation.status in query.statuses
            and query.start <= generation.accepted_at <= query.end
            and query.model in {None, generation.order.wire.get("model")}
        ]


def _row(generation: Generation) -> Words:
    """Return one line of the log; a failed generation costs nothing."""
    usd = generation.billed_usd
    return {
        "created": _iso(generation.accepted_at),
        "status": "succeeded" if generation.status is Status.SUCCESS else "failed",
        "origin": "api",
        "model": generation.order.wire.get("model"),
        "cost": {"usd": usd, "credits": round(usd * CREDITS_OF_A_DOLLAR)},
        "tokens": {"input": 0, "output": 0, "total": 0},
        "request_id": generation.chance.uuid4("request"),
        "inference_id": generation.id,
        "client_request_id": generation.order.client_request_id,
    }


def _read_query(request: Request) -> _Query | str:
    """Return the query, or the sentence that says what is wrong with it."""
    parameters = request.query_params
    window = _window(parameters.get("period"), parameters.get("start"), parameters.get("end"))
    if isinstance(window, str):
        return window
    names = parameters.getlist("status")
    if any(name not in _STATUSES for name in names):
        return "status: Invalid enum value. Expected 'succeeded' | 'failed'"
    limit = _whole(parameters.get("limit"), _DEFAULT_LIMIT, 1, _LARGEST_LIMIT)
    offset = _whole(parameters.get("offset"), 0, 0, _LARGEST_OFFSET)
    if limit is None or offset is None:
        return "limit must be 1 to 100, offset 0 or more"
    statuses = frozenset(_STATUSES[name] for name in names) or frozenset(_STATUSES.values())
    return _Query(*window, statuses, parameters.get("model"), limit, offset)


def _window(period: str | None, start: str | None, end: str | None) -> tuple[datetime, datetime] | str:
    """Return the window of a period such as 24h or 7d that ends now, or from start to end."""
    now = datetime.now(UTC)
    if period is not None:
        match = _PERIOD.fullmatch(period)
        if match is None:
            return "period: Expected hours or days such as 24h or 7d"
        amount = int(match[1])
        first, last = now - (timedelta(hours=amount) if match[2] == "h" else timedelta(days=amount)), now
    elif start is None or end is None:
        return "Either period, or both start and end, are required"
    else:
        try:
            first, last = _instant(start), _instant(end)
        except ValueError:
            return "start, end: Expected ISO 8601 timestamps"
    if first >= last:
        return "start must lie before end"
    return "The window must not exceed 92 days" if last - first > _LONGEST_WINDOW else (first, last)


def _instant(text: str) -> datetime:
    """Return an ISO 8601 time; without a zone it is UTC."""
    instant = datetime.fromisoformat(text)
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant


def _whole(text: str | None, default: int, low: int, high: int) -> int | None:
    """Return a query's whole number, None when it is none or out of bounds."""
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(high))):
        return None
    return int(text) if low <= int(text) <= high else None


def _iso(instant: datetime) -> str:
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")
