"""What the web side is told once: who may come in, how much it takes, under which names it is reached."""

from collections.abc import Callable
from dataclasses import dataclass, field

from receiver.web.streams import Bell

_MIB = 1024 * 1024

ROLES = frozenset({"callbacks", "api", "worker"})


def _never() -> bool:
    return False


def _always() -> bool:
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class WebConfig:
    """The settings of the web side; sizes in bytes.

    ``api_keys`` are as given, ``secret`` or ``id:secret``. ``secrets`` are further strings that no answer may show,
    such as the providers' keys. ``download_link_seconds``: how long a link to the artifact store lives to which
    callers of audio are redirected, 0 for none. ``api_url`` is the base of links shown to callers, without a slash at
    its end; None means relative links. With ``api_hosts`` the private side answers to these names only; with
    ``loopback`` (we listen on a loopback address) to loopback names and these.

    ``callback_room_bytes`` and ``request_room_bytes`` bound what all large bodies under way may take together.
    ``draining`` turns true when the process is about to stop: whoever waits is answered at once. ``metrics_page``
    renders the metrics in Prometheus' text format; ``metrics_key`` opens these and nothing else. With
    ``metrics_public`` they, the document of the interface and the page that shows it need no key.

    ``works`` tells whether the worker of this process runs, where it has one.

    ``max_waits`` and ``max_streams`` bound who may wait for a task or listen to events at once. A stream in which
    nothing happens says so every ``heartbeat_seconds``; a listener that takes nothing for ``slow_reader_seconds`` is
    let go. ``bell`` is rung when something was written.
    """

    api_keys: tuple[str, ...] = field(default=(), repr=False)
    roles: frozenset[str] = ROLES
    max_callback_bytes: int = 96 * _MIB
    callback_body_seconds: float = 20.0
    callback_room_bytes: int = 256 * _MIB
    max_request_bytes: int = 72 * _MIB
    request_body_seconds: float = 120.0
    request_room_bytes: int = 160 * _MIB
    max_waits: int = 64
    max_streams: int = 64
    heartbeat_seconds: float = 15.0
    slow_reader_seconds: float = 30.0
    download_link_seconds: int = 0
    api_url: str | None = None
    api_hosts: frozenset[str] = frozenset()
    loopback: bool = False
    secrets: tuple[str, ...] = field(default=(), repr=False)
    draining: Callable[[], bool] = _never
    works: Callable[[], bool] = _always
    metrics_page: Callable[[], bytes] | None = None
    metrics_key: str | None = field(default=None, repr=False)
    metrics_public: bool = False
    bell: Bell = field(default_factory=Bell)

    def __post_init__(self) -> None:
        """Refuse a role that does not exist and a room that one body alone would not fit."""
        if unknown := self.roles - ROLES:
            raise ValueError(f"there is no role {', '.join(sorted(unknown))}")
        if self.callback_room_bytes < self.max_callback_bytes or self.request_room_bytes < self.max_request_bytes:
            raise ValueError("there must be room for at least one body of the largest size")
