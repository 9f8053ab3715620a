"""The line to a PostgreSQL server, watched: whoever vanishes without a word is noticed in seconds, at both ends."""

import socket
from typing import Any

#: A line on which nothing was heard for so long is asked whether anybody is there, and again so often, in seconds.
ASK_AFTER = 5
ASK_EVERY = 2
#: Whoever has not confirmed what was sent, or what was asked, for so long is gone, in seconds. A server that answers
#: late confirms all the same: it is its machine that does.
GONE_AFTER = 10

#: The same for the server, which would go on holding what a machine of ours has claimed. Ignored on a local socket.
SETTINGS = {
    "tcp_keepalives_idle": str(ASK_AFTER),
    "tcp_keepalives_interval": str(ASK_EVERY),
    "tcp_user_timeout": str(GONE_AFTER * 1000),
}
#: Of these, Linux has all.
_OPTIONS = (
    (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
    (socket.IPPROTO_TCP, "TCP_KEEPIDLE", ASK_AFTER),
    (socket.IPPROTO_TCP, "TCP_KEEPINTVL", ASK_EVERY),
    (socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", GONE_AFTER * 1000),
)


def watch(connection: Any) -> None:  # noqa: ANN401 - the driver's
    """Have the machine watch a connection of asyncpg. Without that, a dead one is one on which an answer is late."""
    # The driver gives no other way to its socket. What the loop hands out is a view of it, without options.
    given = connection._transport.get_extra_info("socket")  # noqa: SLF001 - see above
    if given is None or given.family == socket.AF_UNIX:
        return
    with socket.socket(fileno=socket.dup(given.fileno())) as line:
        for level, name, value in _OPTIONS:
            if (option := getattr(socket, name, None)) is not None:
                line.setsockopt(level, option, value)
