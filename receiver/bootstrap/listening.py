"""The socket that the service listens on."""

import errno
import socket

from receiver.bootstrap.failure import StartError

#: A caller that vanished without a word is let go: who has sent nothing for a while is asked whether anybody is
#: there, and who confirms nothing for half a minute is gone. Without that, what is sent to nobody is repeated for a
#: quarter of an hour, and the place is taken. Connections have it from the socket that listens; Linux has them all.
_NOTICED = (
    (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
    (socket.IPPROTO_TCP, "TCP_KEEPIDLE", 15),
    (socket.IPPROTO_TCP, "TCP_KEEPINTVL", 5),
    (socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", 30_000),
)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; port 0 takes a free one. Raises StartError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio switches Nagle's delay off (40 ms an answer) only where the protocol is named.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for level, name, value in _NOTICED:
            if (option := getattr(socket, name, None)) is not None:
                listening.setsockopt(level, option, value)
        listening.bind((host, port))
        listening.listen(2048)
        listening.settimeout(0.0)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise StartError(
                f"port {port} on {host} is taken: stop what listens there or choose another --port"
            ) from error
        raise StartError(f"cannot listen on {host} port {port}: {error.strerror or error}") from error
    except OverflowError:
        listening.close()
        raise StartError(f"{port} is no port: 0 to 65535") from None
    return listening


def url_of(listening: socket.socket) -> str:
    """Return the URL under which the socket is reached."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches what listens there."""
    return host in {"localhost", "::1"} or host.startswith("127.")
