"""The socket that the service listens on: what a connection has from it."""

import socket

from receiver.bootstrap.listening import listen


def test_a_caller_that_vanishes_without_a_word_is_noticed_within_half_a_minute() -> None:
    with listen("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname()):
        listening.settimeout(10)
        connection, _ = listening.accept()
        with connection:
            assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            asked_after = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
            gone_after = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) / 1000
            assert 0 < asked_after < gone_after <= 30
