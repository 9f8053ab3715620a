"""HTTP as plain values, so that providers describe requests and read answers without doing I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from receiver.domain.values import quick


@quick
@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request to a provider. ``headers`` and ``body`` may hold secrets: they are kept out of ``repr``."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    body: bytes | None = field(default=None, repr=False)
    timeout_seconds: float = 30.0


@quick
@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A complete answer: status code, headers with lower-case names, and the whole body."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
