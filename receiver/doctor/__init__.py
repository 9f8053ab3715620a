"""Whether an installation is fit: looked at from outside, beside the service, changing nothing.

`finding` is what a look brings, `machine` what lies on this machine, `shared` a PostgreSQL server, `reach` who can
reach the service, `accounts` what the providers think of us.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from receiver.bootstrap import StartError, allowed_hosts, providers_of, shares_database
from receiver.doctor import accounts, machine, reach, shared
from receiver.doctor.finding import Finding, Level, failed, ok
from receiver.doctor.machine import Known
from receiver.domain.token import SigningKey
from receiver.lifecycle.ports import System
from receiver.settings import Loaded

__all__ = ["Finding", "Level", "examine"]

_LEAST_SECRET_CHARACTERS = 12


async def examine(loaded: Loaded, url: str, system: System) -> AsyncIterator[Finding]:
    """Yield what is found, one after another; ``url`` is where the service listens on this machine."""
    secrets = (*loaded.keys.values(), *loaded.option_secrets)
    async for finding in _examined(loaded, url, system):
        yield replace(finding, message=_without(finding.message, secrets))


def _without(text: str, secrets: Sequence[str]) -> str:
    """Cut out keys: a provider that does not take one may repeat it. What is too short is no key, but a word."""
    for secret in secrets:
        if len(secret) >= _LEAST_SECRET_CHARACTERS:
            text = text.replace(secret, "[redacted]")
    return text


def _of_this_shell(finding: Finding, process: str | None) -> Finding:
    """Say of a setting that is missing here that a service which runs may have it."""
    if process is None or finding.mend is None or "is not set" not in finding.message:
        return finding
    whose = f"process {process}" if process.isdigit() else "the process that serves"
    return replace(finding, mend=f"{finding.mend}; these are the settings of this shell, not those of {whose}")


async def _examined(loaded: Loaded, url: str, system: System) -> AsyncIterator[Finding]:
    wall, steady = system.now(), system.monotonic()
    try:
        providers_of(loaded)
        allowed_hosts(loaded)
    except StartError as error:
        yield failed(
            "settings", str(error), "correct it where it is set: the environment, .env or the secrets folder"
        )
        return
    changed = sum(setting.source != "default" for setting in loaded.described)
    yield ok("settings", f"understood; {changed} of {len(loaded.described)} set for this command")
    yield machine.folder(loaded)
    yield machine.api_keys(loaded)
    finding, keys = machine.signing_keys(loaded)
    yield finding
    known = Known(None, None)
    async for found in _database(loaded, keys, system):
        if isinstance(found, Known):
            known = found
        else:
            yield found
    yield await machine.store(loaded, system)
    yield await reach.service(url, known.process, known.tokens, system, what=known.what)
    for finding in await reach.public_url(loaded.settings, known.process, known.tokens, system):
        yield finding
    findings, offsets = await accounts.accounts(loaded, system)
    for finding in findings:
        yield _of_this_shell(finding, known.process)
    drift = (system.now() - wall).total_seconds() - (system.monotonic() - steady)
    yield accounts.clock(offsets, drift)


async def _database(loaded: Loaded, keys: tuple[SigningKey, ...], system: System) -> AsyncIterator[Finding | Known]:
    if shares_database(loaded):
        async for found in shared.database(loaded, keys, system):
            yield found
        return
    for found in machine.database(loaded, keys, system):
        yield found
