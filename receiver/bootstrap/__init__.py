"""The only place where things are joined: settings in, a receiver with every room opened out."""

import asyncio
import contextlib
import gc
import logging
import os
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import uvicorn

from receiver.bootstrap.checks import (
    allowed_hosts,
    artifact_store,
    bucket_access,
    check_data_folder,
    check_notify_url,
    check_places,
    check_shared_keys,
    shares_database,
)
from receiver.bootstrap.failure import StartError
from receiver.bootstrap.keys import (
    api_key,
    api_key_path,
    api_keys,
    check_given_keys,
    new_keys,
    rotate_signing_key,
    signer,
    signing_keys,
    spelled,
)
from receiver.bootstrap.listening import is_loopback, listen, url_of
from receiver.domain.delivery import TOLD_TYPES, read_secret
from receiver.domain.errors import UnavailableError
from receiver.domain.task import Change
from receiver.domain.token import SigningKey
from receiver.domain.usual import Done
from receiver.lifecycle import sweep
from receiver.lifecycle.ports import Notifying, Ports, Provider, Queue, System
from receiver.outbound import CallLimits, HttpOutbound
from receiver.providers import PROVIDERS
from receiver.settings import Loaded, Settings, load
from receiver.storage import keyfiles
from receiver.storage.objects import open_objects
from receiver.storage.places import is_shared
from receiver.storage.probe import probe
from receiver.storage.store import EVENTS, open_store
from receiver.storage.store import migrate as migrate_store
from receiver.storage.vault import FernetVault
from receiver.system import KillAt, RealSystem
from receiver.telemetry import PrometheusMetrics, Witness, configure_logs
from receiver.web import Application, WebConfig, create_app, presenter
from receiver.web.config import ROLES
from receiver.web.peers import trusting
from receiver.web.server import Connections, DrainingServer, guarded
from receiver.web.streams import Bell
from receiver.worker import Concurrency, Hints, Worker

__all__ = [
    "Receiver",
    "StartError",
    "allowed_hosts",
    "api_key",
    "api_key_path",
    "artifact_store",
    "bucket_access",
    "load_settings",
    "migrate",
    "new_keys",
    "opened",
    "providers_of",
    "rotate_signing_key",
    "serve",
    "shares_database",
]

_log = logging.getLogger("receiver")

#: New objects between two rounds of the garbage collector. Of 700, its default, nearly all are of requests under way:
#: there is little to find among them, and every round looks through them again.
COLLECTED_AFTER = 20_000
#: Connections to a provider's API that there may be at any rate.
LEAST_CONNECTIONS = 128


@dataclass(frozen=True, slots=True)
class Receiver:
    """Everything joined and open."""

    loaded: Loaded
    ports: Ports
    app: Application
    worker: Worker
    metrics: PrometheusMetrics
    secrets: tuple[str, ...] = field(repr=False)


def load_settings(overrides: Mapping[str, str] | None = None) -> Loaded:
    """Read the settings of this process. Raises SettingsError."""
    return load(PROVIDERS.values(), overrides=overrides)


@contextlib.asynccontextmanager
async def opened(
    loaded: Loaded,
    *,
    roles: frozenset[str] = ROLES,
    loopback: bool = True,
    draining: Callable[[], bool] = lambda: False,
    system: System | None = None,
) -> AsyncIterator[Receiver]:
    """Open the store, the artifacts and the network, and hand out a receiver whose worker is not yet started.

    ``system`` is this machine's, unless a test hands in one whose clock it moves. Raises StartError for whatever a
    person has to mend first.
    """
    settings = loaded.settings
    system = system or RealSystem(KillAt(loaded.kill_at) if loaded.kill_at else None)
    # Nothing is made before all that is set is known to be good: a start that is refused leaves nothing behind.
    providers = providers_of(loaded)
    allowed = allowed_hosts(loaded)
    check_places(loaded)
    check_notify_url(settings.notify_url, allowed)
    check_shared_keys(loaded)
    check_given_keys(loaded)
    check_data_folder(settings.data_dir)
    keys = signing_keys(loaded)
    opening = api_keys(loaded)
    secrets = (*loaded.secrets, *spelled(keys, opening))
    hints = Hints()
    bell = Bell()
    metrics = PrometheusMetrics(tuple(providers))
    witness = Witness(metrics)

    def changed(changes: Sequence[Done]) -> None:
        witness(changes)
        # Nobody is told of usual callbacks: the task's end comes with its audio.
        full = [change for change in changes if isinstance(change, Change)]
        if not TOLD_TYPES.isdisjoint([event.type for change in full for event in change.events]):
            wake(Queue.NOTIFY)

    async with contextlib.AsyncExitStack() as stack:
        try:
            store = await stack.enter_async_context(
                open_store(
                    _database(loaded),
                    on_commit=lambda _: bell.ring(),
                    on_change=changed,
                    on_hint=lambda word: bell.ring() if word == EVENTS else hints.wake(Queue(word)),
                    settles=bool({"all", "worker"} & roles),
                )
            )
            objects = await stack.enter_async_context(open_objects(artifact_store(loaded), bucket_access(loaded)))
            if artifact_store(loaded).startswith("memory:"):
                _log.warning("artifacts_in_memory", extra={"meaning": "audio is gone when this process ends"})
        except (UnavailableError, OSError, ValueError) as error:
            raise StartError(str(error)) from error
        outbound = await stack.enter_async_context(
            HttpOutbound(
                allowed=allowed,
                provider_urls=[options["url"] for options in loaded.options.values()],
                limits=CallLimits(connections=_connections(settings)),
            )
        )

        def wake(queue: Queue) -> None:
            hints.wake(queue)
            store.hint(queue)

        ports = Ports(
            store=store,
            objects=objects,
            outbound=outbound,
            providers=providers,
            system=system,
            tokens=signer(keys, store.installation_id),
            probe=probe,
            metrics=metrics,
            limits=settings.limits(),
            wake=wake,
            notifying=_notifying(settings, keys),
        )
        concurrency = Concurrency(
            settings.submit_concurrency,
            settings.poll_concurrency,
            settings.collect_concurrency,
            settings.notify_concurrency,
        )
        config = WebConfig(
            api_keys=opening,
            roles=ROLES if "all" in roles else roles,
            max_callback_bytes=settings.max_callback_bytes,
            callback_body_seconds=settings.callback_body_seconds,
            callback_room_bytes=max(256 * 1024 * 1024, settings.max_callback_bytes),
            max_request_bytes=settings.max_request_bytes,
            request_room_bytes=max(160 * 1024 * 1024, settings.max_request_bytes),
            download_link_seconds=settings.download_link_seconds,
            api_url=settings.api_url,
            api_hosts=frozenset(name.strip().lower() for name in settings.api_hosts.split(",") if name.strip()),
            loopback=loopback,
            secrets=secrets,
            draining=draining,
            works=lambda: worker.running,
            metrics_page=metrics.page,
            metrics_key=settings.metrics_key,
            metrics_public=settings.metrics_public,
            max_waits=settings.max_waits,
            max_streams=settings.max_streams,
            bell=bell,
        )
        show = presenter(ports, config).task
        worker = Worker(ports, hints, concurrency, alone=not store.shared, show=show)
        yield Receiver(loaded, ports, create_app(ports, config), worker, metrics, secrets)


async def serve(
    loaded: Loaded,
    *,
    host: str,
    port: int,
    roles: frozenset[str],
    ready: Callable[[str], None],
    system: System | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then let what is under way end. Raises StartError.

    ``ready`` is called with the base URL once callers are answered; port 0 takes a free one.
    """
    configure_logs(loaded.settings.log_level, secrets=loaded.secrets)
    os.umask(0o077)
    listening = listen(host, port)
    url, proxies = url_of(listening), loaded.settings.trusted_proxies
    draining = asyncio.Event()
    with contextlib.closing(listening):
        opening = opened(loaded, roles=roles, loopback=is_loopback(host), draining=draining.is_set, system=system)
        async with opening as receiver:
            # By now the keys that lie in files are known too.
            configure_logs(loaded.settings.log_level, secrets=receiver.secrets)
            connections = Connections(most=loaded.settings.max_connections, speaks_for_all=trusting(proxies))
            receiver.metrics.follow("connections_open", lambda: connections.total)
            config = uvicorn.Config(
                receiver.app,
                http=guarded(connections, entrance=receiver.app.entrance),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=True,
                forwarded_allow_ips=f"127.0.0.1,::1,{proxies}",
                timeout_keep_alive=10,
                timeout_graceful_shutdown=3,
                backlog=2048,
            )
            server = DrainingServer(config, on_listening=lambda: ready(url), draining=draining)
            works = {"all", "worker"} & roles
            try:
                if works:
                    await receiver.worker.start()
                if shares_database(loaded) and {"all", "callbacks"} & roles:
                    # By now calls for us wait on the socket instead of being refused.
                    await sweep.look_at_pushed(receiver.ports)
            except UnavailableError as error:
                raise StartError(str(error)) from error
            # What lives as long as the process is of no interest to the collector; nearly all else ends by itself.
            gc.collect()
            gc.freeze()
            gc.set_threshold(COLLECTED_AFTER, *gc.get_threshold()[1:])
            _log.info("started", extra={"url": url, "roles": sorted(roles)})
            stopping = asyncio.create_task(_stop_worker(receiver, draining)) if works else None
            try:
                await server.serve(sockets=[listening])
            finally:
                draining.set()
                if stopping is not None:
                    await stopping
            _log.info("stopped")


async def _stop_worker(receiver: Receiver, draining: asyncio.Event) -> None:
    """Stop leasing at the first sign of the end, beside the server that still answers what is under way."""
    await draining.wait()
    await receiver.worker.stop(receiver.loaded.settings.stop_seconds)


def migrate(loaded: Loaded) -> str:
    """Bring the schema to its newest form and return its revision. Raises StartError."""
    try:
        return migrate_store(_database(loaded))
    except (UnavailableError, OSError, ValueError) as error:
        raise StartError(str(error)) from error


def providers_of(loaded: Loaded) -> dict[str, Provider]:
    """Return every provider made from its options. Raises StartError."""
    providers = {}
    for name, entry in PROVIDERS.items():
        try:
            providers[name] = entry.build(loaded.options[name], loaded.keys.get(name))
        except ValueError as error:
            raise StartError(_as_set(name, str(error))) from error
    return providers


def _as_set(provider: str, message: str) -> str:
    """Name an option at the beginning of a message as it stands in the environment."""
    named = re.match(r"\w+", message)
    if named is None or named[0] not in {option.name for option in PROVIDERS[provider].options}:
        return message
    return f"RECEIVER_{provider.upper()}_{named[0].upper()}{message[named.end() :]}"


def _notifying(settings: Settings, keys: Sequence[SigningKey]) -> Notifying:
    """Return what notifications are sent by."""
    secrets = (settings.notify_secret or "").split(",") if settings.notify_url else []
    return Notifying(
        url=settings.notify_url,
        keys=tuple(read_secret(secret.strip()) for secret in secrets),
        vault=FernetVault(keys),
        timeout_seconds=settings.notify_timeout_seconds,
        give_up=timedelta(seconds=settings.notify_give_up_seconds),
        retention=timedelta(seconds=settings.delivery_retention_seconds),
    )


def _connections(settings: Settings) -> int:
    """Return how many calls to a provider may be under way: what may run at once, and a search of its log."""
    return max(LEAST_CONNECTIONS, settings.submit_concurrency + settings.poll_concurrency + 1)


def _database(loaded: Loaded) -> str | Path:
    check_places(loaded)
    url = loaded.settings.database_url
    if url is not None and is_shared(url):
        return url
    path = loaded.settings.sqlite_path
    try:
        keyfiles.private_folder(path.parent)
    except keyfiles.KeyFileError as error:
        raise StartError(str(error)) from error
    return path
