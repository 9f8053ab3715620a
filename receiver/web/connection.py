"""uvicorn's HTTP on one connection, with two of its faults mended: bodies beside an upgrade, and who is gone."""

import sys

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle


class MendedProtocol(HttpToolsProtocol):
    """HTTP that is never upgraded, and whose requests all learn that their connection is lost.

    httptools reads no body where an upgrade is asked for, as some clients do with every request (``h2c``): such a
    request seemed to have none, was answered, and its body was taken for the next request. And uvicorn told only the
    last of several requests on a connection that it was lost; the one being answered went on to write.
    """

    #: Where in a read the head of such a request ended.
    _head_end: int | None = None
    _is_upgrade = False
    _answered: RequestResponseCycle | None = None

    # What is called for every request names the class: ``super()`` is made anew for every call, and a request of some
    # headers has fifteen of them in the classes that build on each other here.
    def data_received(self, data: bytes) -> None:
        HttpToolsProtocol.data_received(self, data)
        while self._head_end is not None:
            rest, self._head_end = data[self._head_end :], None
            # RFC 9110, 7.8: who does not want to upgrade goes on as if it had not been asked for.
            version = self.parser.get_http_version().encode()
            lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version)]
            lines += [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
            data = b"\r\n".join((*lines, b"", rest))
            # A parser that has read to the end of a request which ends its connection passes over all that follows.
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            HttpToolsProtocol.data_received(self, data)

    def on_headers_complete(self) -> None:
        self._is_upgrade = self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"
        if not self._is_upgrade:
            HttpToolsProtocol.on_headers_complete(self)

    def on_message_complete(self) -> None:
        if not self._is_upgrade:
            HttpToolsProtocol.on_message_complete(self)

    def connection_lost(self, exc: Exception | None) -> None:
        answered, self._answered = self._answered, None
        if answered is not None and not answered.response_complete:
            answered.disconnected = True
            answered.message_event.set()
        super().connection_lost(exc)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._answered = cycle
        super()._start_asgi_task(cycle, app)

    def _should_upgrade_to_ws(self) -> bool:
        return False

    def _unsupported_upgrade_warning(self) -> None:
        # The parser's exception is being handled here, and says where it stopped.
        upgrade = sys.exc_info()[1]
        if self._is_upgrade and isinstance(upgrade, httptools.HttpParserUpgrade):
            self._is_upgrade = False
            self._head_end = upgrade.args[0]
