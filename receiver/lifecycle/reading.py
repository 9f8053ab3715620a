"""Reading: what a provider's adapter understands of a stored report, or why it understands nothing."""

from dataclasses import replace

from anyio import to_thread

from receiver.domain.errors import NotFoundError, UnreadableError
from receiver.domain.report import Reading, StoredReport, Via
from receiver.lifecycle.ports import Ports, Provider

#: Bodies above this many bytes are read in a thread, so that the event loop goes on answering callbacks.
READ_IN_THREAD = 64 * 1024
#: Why a report is set aside that was begun to be read, and never finished, as often as that is tried.
NEVER_FINISHED = "reading it was begun twice and never finished"
PROVIDER_UNKNOWN = "its provider is no longer known"


async def read(ports: Ports, report: StoredReport) -> Reading | str:
    """Read a report by today's adapter, or return why it cannot be. Raises UnavailableError for a store that is away.

    Inline audio is left out: settling needs to know of it, not to hold the bytes of a whole batch.
    """
    at_once = read_at_once(ports, report)
    if at_once is not None:
        return at_once
    body = report.body
    if report.object_key is not None:
        try:
            body = await ports.objects.read(report.object_key)
        except NotFoundError:
            return "its body is gone from the artifact store"
    provider = ports.providers[report.provider]
    if len(body) <= READ_IN_THREAD:
        return _understand(provider, body, report.via)
    return await to_thread.run_sync(_understand, provider, body, report.via)


def read_at_once(ports: Ports, report: StoredReport) -> Reading | str | None:
    """Read a report as ``read`` does, where nothing is to be waited for; else return None."""
    provider = ports.providers.get(report.provider)
    if provider is None:
        return PROVIDER_UNKNOWN
    if report.object_key is not None or len(report.body) > READ_IN_THREAD:
        return None
    return _understand(provider, report.body, report.via)


def _understand(provider: Provider, body: bytes, via: Via) -> Reading | str:
    try:
        reading = provider.read(body, via)
    except UnreadableError as error:
        return f"unreadable: {error}"
    except Exception as error:  # noqa: BLE001 - whatever a stranger's bytes provoke concerns this report alone
        return f"unreadable: {type(error).__name__}"
    if not [output for output in reading.outputs if output.inline is not None]:
        return reading
    outputs = tuple(output if output.inline is None else replace(output, inline="") for output in reading.outputs)
    return replace(reading, outputs=outputs)
