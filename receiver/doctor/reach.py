"""Whether the service answers, whether the public URL ends in this very installation, and what bodies get through."""

import json
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import ip_address, ip_network

from receiver.doctor.finding import Finding, failed, ok, skipped, warning
from receiver.domain.errors import AnswerLostError, NotSentError
from receiver.domain.exchange import HttpAnswer, HttpRequest
from receiver.domain.token import Purpose, TokenSigner
from receiver.lifecycle.ports import System
from receiver.outbound import AllowedHost, AllowedHosts, HttpOutbound
from receiver.outbound.links import ForbiddenError, Link
from receiver.settings import Settings
from receiver.web.doctor import ANSWERED, LIFETIME, probe_path

_PATIENCE_SECONDS = 10.0
_KIB = 1024
#: A link is some kB; audio within a callback is up to 70 MB.
_BODIES = (64 * _KIB, 1024 * _KIB, 8 * 1024 * _KIB, 32 * 1024 * _KIB)


@dataclass(frozen=True, slots=True)
class _Probed:
    """What came of one probe: whose answer it was, how many bytes arrived there; ``words`` where it was not ours."""

    ours: bool
    size: int | None
    words: str
    too_slow: bool = False
    answered: bool = True


class Prober:
    """Posts nonces to where providers post their callbacks."""

    def __init__(self, base_url: str, tokens: TokenSigner, system: System) -> None:
        """Take the base URL; raises ForbiddenError for one that is none."""
        self._base_url = base_url.rstrip("/")
        self._tokens = tokens
        self._system = system
        self._allowed = allowed_for(self._base_url)

    async def probe(self, size: int = 0, *, seconds: float = _PATIENCE_SECONDS) -> _Probed:
        """Post a body of so many bytes; tell what answered."""
        nonce = self._system.new_id()
        path = probe_path(self._tokens, nonce, self._system.now() + LIFETIME)
        headers = {"Content-Type": "application/json"}
        request = HttpRequest("POST", self._base_url + path, headers, b" " * size, seconds)
        try:
            async with HttpOutbound(allowed=self._allowed, provider_urls=[]) as outbound:
                answer = await outbound.send("doctor", request)
        except NotSentError as error:
            return _Probed(ours=False, size=None, words=str(error), answered=False)
        except AnswerLostError as error:
            return _Probed(ours=False, size=None, words=str(error), too_slow="time" in str(error))
        if answer.status != HTTPStatus.OK:
            return _Probed(ours=False, size=None, words=_words(answer))
        told, size_there = _read(answer)
        mine = told is not None and self._tokens.verify(Purpose.DOCTOR, ANSWERED, told, self._system.now()) == nonce
        return _Probed(mine, size_there if mine else None, "" if mine else "another answers there (HTTP 200)")


def allowed_for(base_url: str) -> AllowedHosts:
    """Return an allowance for the one place that the operator named: wherever its name leads from here."""
    link = Link.parse(base_url)
    try:
        network = ip_network(ip_address(link.host.strip("[]")))
    except ValueError:
        return AllowedHosts((AllowedHost(link.host, None, link.port, None),))
    return AllowedHosts((AllowedHost(None, network, link.port, None),))


async def service(
    url: str, process: str | None, tokens: TokenSigner | None, system: System, *, what: str = "data folder"
) -> Finding:
    """Look whether a process serves the database, and answers at the local address as this installation."""
    if process is None:
        return failed("service", f"no process serves this {what}", "start `receiver serve`")
    told = f"process {process} serves this {what}" if process.isdigit() else f"a process serves this {what}"
    if tokens is None:
        return skipped("service", f"{told}; without its keys it cannot be asked")
    try:
        probed = await Prober(url, tokens, system).probe()
    except ForbiddenError as error:
        return failed("service", f"{url}: {error}", "give its local address with --url")
    if probed.ours:
        return ok("service", f"{told} and answers at {url}")
    mend = "give the local address of a process that takes callbacks with --url"
    return warning("service", f"{told}, but not at {url}: {probed.words}", mend)


async def public_url(
    settings: Settings, process: str | None, tokens: TokenSigner | None, system: System
) -> list[Finding]:
    """Look whether the public URL, as its name is resolved from here, ends in this installation; then at bodies."""
    name, bodies = "public URL", "callback size"
    url = settings.public_url
    if url is None:
        mend = "set it to where providers reach this service; with it results come at once"
        return [
            warning(name, "RECEIVER_PUBLIC_URL is not set: Runware tasks carry no webhookURL and are polled", mend),
            skipped(bodies, "there is no public URL"),
        ]
    if tokens is None or process is None:
        why = (
            "without a running service it cannot be tried"
            if process is None
            else "without its keys it cannot be tried"
        )
        return [skipped(name, f"{url}: {why}"), skipped(bodies, why)]
    try:
        prober = Prober(url, tokens, system)
    except ForbiddenError as error:
        return [
            failed(name, f"{url}: {error}", "correct RECEIVER_PUBLIC_URL"),
            skipped(bodies, "there is no way there"),
        ]
    probed = await prober.probe()
    if not probed.ours:
        return [
            failed(
                name,
                f"{url} does not end in this installation: {probed.words}",
                _MEND if probed.answered else _CLOSED,
            ),
            skipped(bodies, _NO_WAY),
        ]
    return [ok(name, f"{url} ends in this installation"), await _bodies(prober, settings)]


_NO_WAY = "the public URL does not end here"
_CLOSED = "see that its name leads to your proxy or tunnel and that one runs, or correct RECEIVER_PUBLIC_URL"
_MEND = "let the proxy pass POST /callbacks/ to this service, path and all, or correct RECEIVER_PUBLIC_URL"


async def _bodies(prober: Prober, settings: Settings) -> Finding:
    """Post larger and larger bodies, up to a bound, and say which was the first that did not get through."""
    name, most = "callback size", settings.max_callback_bytes
    passed = 0
    for size in (*(size for size in _BODIES if size < most), min(most, _BODIES[-1])):
        if size <= passed:
            continue
        probed = await prober.probe(size, seconds=settings.callback_body_seconds)
        if probed.ours and probed.size == size:
            passed = size
            continue
        if probed.too_slow:
            return warning(
                name,
                f"{_mib(size)} took too long from here; {_mib(passed)} passed",
                "where the line is slow for providers too, raise RECEIVER_CALLBACK_BODY_SECONDS",
            )
        cut = f"only {probed.size} bytes arrived" if probed.ours else probed.words
        return failed(
            name,
            f"{_mib(passed)} passed, {_mib(size)} did not: {cut}",
            f"raise the proxy's limit for bodies to {_mib(most)}, such as nginx's client_max_body_size",
        )
    return ok(name, f"{_mib(passed)} passed; up to {_mib(most)} are taken")


def _mib(size: int) -> str:
    return f"{size // _KIB} KiB" if size < _KIB * _KIB else f"{size / _KIB / _KIB:g} MiB"


def _words(answer: HttpAnswer) -> str:
    """Say what an answer that is not ours shows of whoever gave it."""
    if answer.status in range(300, 400):
        return f"it redirects (HTTP {answer.status}), which no provider follows"
    if answer.status == HTTPStatus.NOT_FOUND:
        return "whoever answers there does not know this installation (HTTP 404)"
    if answer.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return "too large for something in between (HTTP 413)"
    if answer.status in {HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT}:
        return f"a proxy answers that it cannot reach what is behind it (HTTP {answer.status})"
    return f"it answers with HTTP {answer.status}"


def _read(answer: HttpAnswer) -> tuple[str | None, int | None]:
    try:
        document = json.loads(answer.body)
    except (ValueError, RecursionError):
        return None, None
    if not isinstance(document, dict):
        return None, None
    told, size = document.get("answer"), document.get("bytes")
    return (told if isinstance(told, str) else None), (size if isinstance(size, int) else None)
