"""The only place where things are joined: settings in, a receiver with every room opened out."""

import asyncio
import contextlib
import errno
import gc
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import uvicorn
from starlette.types import ASGIApp

from receiver.domain.errors import UnavailableError
from receiver.domain.token import SigningKey, TokenSigner
from receiver.lifecycle.ports import Ports, Provider, System
from receiver.outbound import AllowedHosts, HttpOutbound
from receiver.providers import PROVIDERS
from receiver.settings import Loaded, load
from receiver.storage import keyfiles
from receiver.storage.objects import open_objects
from receiver.storage.probe import probe
from receiver.storage.store import migrate as migrate_store
from receiver.storage.store import open_store
from receiver.system import KillAt, RealSystem, new_secret
from receiver.telemetry import PrometheusMetrics, configure_logs
from receiver.web import WebConfig, create_app
from receiver.web.config import ROLES
from receiver.web.peers import trusting
from receiver.web.server import Connections, DrainingServer, guarded
from receiver.web.streams import Bell
from receiver.worker import Concurrency, Hints, Worker

_log = logging.getLogger("receiver")

#: A shorter secret could be guessed by asking.
LEAST_KEY_CHARACTERS = 32


class StartError(Exception):
    """The service cannot start; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """Everything joined and open."""

    loaded: Loaded
    ports: Ports
    app: ASGIApp
    worker: Worker
    metrics: PrometheusMetrics


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
    _check_data_folder(settings.data_dir)
    system = system or RealSystem(KillAt(loaded.kill_at) if loaded.kill_at else None)
    providers = _providers(loaded)
    allowed = _allowed_hosts(loaded)
    keys = _signing_keys(loaded)
    api_keys = _api_keys(loaded)
    hints = Hints()
    bell = Bell()
    metrics = PrometheusMetrics()
    async with contextlib.AsyncExitStack() as stack:
        try:
            store = await stack.enter_async_context(open_store(_sqlite_path(loaded), on_commit=lambda _: bell.ring()))
            objects = await stack.enter_async_context(open_objects(_artifact_store(loaded)))
        except (UnavailableError, OSError, ValueError) as error:
            raise StartError(str(error)) from error
        outbound = await stack.enter_async_context(
            HttpOutbound(allowed=allowed, provider_urls=[options["url"] for options in loaded.options.values()])
        )
        ports = Ports(
            store=store,
            objects=objects,
            outbound=outbound,
            providers=providers,
            system=system,
            tokens=_signer(keys, store.installation_id),
            probe=probe,
            metrics=metrics,
            limits=settings.limits(),
            wake=hints.wake,
        )
        config = WebConfig(
            api_keys=api_keys,
            roles=ROLES if "all" in roles else roles,
            max_callback_bytes=settings.max_callback_bytes,
            callback_body_seconds=settings.callback_body_seconds,
            callback_room_bytes=max(256 * 1024 * 1024, settings.max_callback_bytes),
            max_request_bytes=settings.max_request_bytes,
            request_room_bytes=max(160 * 1024 * 1024, settings.max_request_bytes),
            api_url=settings.api_url,
            api_hosts=frozenset(name.strip().lower() for name in settings.api_hosts.split(",") if name.strip()),
            loopback=loopback,
            secrets=_secrets(loaded),
            draining=draining,
            metrics_page=metrics.page,
            metrics_public=settings.metrics_public,
            max_waits=settings.max_waits,
            max_streams=settings.max_streams,
            bell=bell,
        )
        concurrency = Concurrency(
            settings.submit_concurrency, settings.poll_concurrency, settings.collect_concurrency
        )
        worker = Worker(ports, hints, concurrency, alone=True)
        yield Receiver(loaded, ports, create_app(ports, config), worker, metrics)


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
    configure_logs(loaded.settings.log_level, secrets=_secrets(loaded))
    os.umask(0o077)
    listening = _listen(host, port)
    base_url, proxies = _base_url(listening), loaded.settings.trusted_proxies
    draining = asyncio.Event()
    with contextlib.closing(listening):
        opening = opened(loaded, roles=roles, loopback=_is_loopback(host), draining=draining.is_set, system=system)
        async with opening as receiver:
            config = uvicorn.Config(
                receiver.app,
                http=guarded(Connections(most=loaded.settings.max_connections, speaks_for_all=trusting(proxies))),
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
            server = DrainingServer(config, on_listening=lambda: ready(base_url), draining=draining)
            works = {"all", "worker"} & roles
            if works:
                try:
                    await receiver.worker.start()
                except UnavailableError as error:
                    raise StartError(str(error)) from error
            # What lives as long as the process is of no interest to the collector.
            gc.collect()
            gc.freeze()
            _log.info("started", extra={"url": base_url, "roles": sorted(roles)})
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
        return migrate_store(_sqlite_path(loaded))
    except (UnavailableError, OSError) as error:
        raise StartError(str(error)) from error


def api_key_path(loaded: Loaded) -> Path:
    """Return where the key of the /v1 routes lies when none is configured."""
    return loaded.settings.data_dir / "api_key"


def api_key(loaded: Loaded) -> str:
    """Return a key that the local service takes, without making one. Raises StartError."""
    if loaded.settings.api_keys:
        return loaded.settings.api_keys.split(",")[0].strip()
    try:
        return keyfiles.read(api_key_path(loaded))
    except FileNotFoundError:
        raise StartError(
            f"{api_key_path(loaded)} is not there: `receiver serve` makes it on its first start"
        ) from None
    except keyfiles.KeyFileError as error:
        raise StartError(str(error)) from error


def new_keys() -> dict[str, str]:
    """Return a fresh signing key and a fresh API key as they stand in settings."""
    name = f"k{new_secret(4).hex()}"
    return {
        "signing_key": keyfiles.format_signing_key(name, new_secret()),
        "api_key": f"{name}:{new_secret(24).hex()}",
    }


def rotate_signing_key(loaded: Loaded) -> str:
    """Put a new signing key first in the key file, keep the old ones for running tasks, and return its name."""
    if loaded.settings.signing_keys:
        raise StartError("RECEIVER_SIGNING_KEYS is set: put the new key first there yourself (`receiver keys new`)")
    path = _signing_key_path(loaded)
    try:
        old, _ = keyfiles.read_or_make(path, lambda: new_keys()["signing_key"])
        fresh = new_keys()["signing_key"]
        keyfiles.write(path, f"{fresh}\n{old}")
    except keyfiles.KeyFileError as error:
        raise StartError(str(error)) from error
    return fresh.partition(":")[0]


def _check_data_folder(path: Path) -> None:
    """Say what is wrong with the data folder in its own name, before one of the files in it is blamed."""
    try:
        keyfiles.private_folder(path)
    except keyfiles.KeyFileError as error:
        raise StartError(f"the data folder {error}") from error
    if not path.is_dir():
        raise StartError(f"the data folder {path} is not a folder")
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise StartError(
            f"the data folder {path} is not readable and writable for this user: give it to this user, mount its "
            "disk writable, or choose another with --data-dir"
        )
    try:
        if keyfiles.close_to_others(path, ours=("receiver.db", "signing_keys", "api_key", "artifacts")):
            _log.info("data_folder_closed_to_others", extra={"path": str(path)})
    except keyfiles.KeyFileError as error:
        raise StartError(f"the data folder {error}") from error


def _secrets(loaded: Loaded) -> tuple[str, ...]:
    """Return what nothing we write may show: the keys we were given, ours without the names before them."""
    ours = f"{loaded.settings.api_keys or ''},{loaded.settings.signing_keys or ''}".replace("\n", ",").split(",")
    return (*loaded.keys.values(), *loaded.option_secrets, *(key.strip().rpartition(":")[2] for key in ours))


def _providers(loaded: Loaded) -> dict[str, Provider]:
    providers = {}
    for name, entry in PROVIDERS.items():
        try:
            providers[name] = entry.build(loaded.options[name], loaded.keys.get(name))
        except ValueError as error:
            raise StartError(str(error)) from error
    return providers


def _allowed_hosts(loaded: Loaded) -> AllowedHosts:
    try:
        allowed = AllowedHosts.parse(loaded.settings.allowed_private_hosts)
    except ValueError as error:
        raise StartError(f"RECEIVER_ALLOWED_PRIVATE_HOSTS: {error}") from error
    _check_public_url(loaded.settings.public_url, allowed)
    return allowed


def _check_public_url(url: str | None, allowed: AllowedHosts) -> None:
    """Refuse plain http where tokens would travel in the open, except to hosts the operator allowed by name."""
    if url is None or url.startswith("https://"):
        return
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 80
    try:
        address = ip_address(host)
    except ValueError:
        fits = any(entry.name == host and entry.may_cover(host, port) for entry in allowed.entries)
    else:
        fits = any(entry.covers(host, port, address) for entry in allowed.entries)
    if not fits:
        raise StartError(
            "RECEIVER_PUBLIC_URL must be https: its paths carry tokens. For a host of your own network, name "
            f"{host}:{port} in RECEIVER_ALLOWED_PRIVATE_HOSTS"
        )


def _signing_key_path(loaded: Loaded) -> Path:
    return loaded.settings.data_dir / "signing_keys"


def _signing_keys(loaded: Loaded) -> tuple[SigningKey, ...]:
    text = loaded.settings.signing_keys
    try:
        if text is None:
            text, _ = keyfiles.read_or_make(_signing_key_path(loaded), lambda: new_keys()["signing_key"])
        return keyfiles.parse_signing_keys(text)
    except (keyfiles.KeyFileError, ValueError) as error:
        raise StartError(f"signing keys: {error}") from error


def _signer(keys: tuple[SigningKey, ...], installation: bytes) -> TokenSigner:
    try:
        return TokenSigner(keys, installation)
    except ValueError as error:
        raise StartError(f"signing keys: {error}") from error


def _api_keys(loaded: Loaded) -> tuple[str, ...]:
    text = loaded.settings.api_keys
    try:
        if text is None:
            text, made = keyfiles.read_or_make(api_key_path(loaded), lambda: new_keys()["api_key"])
            if made:
                _log.info("api_key_made", extra={"path": str(api_key_path(loaded))})
    except keyfiles.KeyFileError as error:
        raise StartError(str(error)) from error
    keys = tuple(filter(None, (key.strip() for key in text.replace("\n", ",").split(","))))
    for number, key in enumerate(keys, 1):
        if len(key.rpartition(":")[2]) < LEAST_KEY_CHARACTERS:
            raise StartError(
                f"RECEIVER_API_KEYS: the secret of key {number} has fewer than {LEAST_KEY_CHARACTERS} characters; "
                "`receiver keys new` makes one"
            )
    return keys


def _sqlite_path(loaded: Loaded) -> Path:
    url = loaded.settings.database_url
    if url is not None and not url.startswith("sqlite:///"):
        raise StartError("RECEIVER_DATABASE_URL: only sqlite:///<path> is available yet")
    path = loaded.settings.sqlite_path
    try:
        keyfiles.private_folder(path.parent)
    except keyfiles.KeyFileError as error:
        raise StartError(str(error)) from error
    return path


def _artifact_store(loaded: Loaded) -> str:
    return loaded.settings.artifact_store_url or str(loaded.settings.data_dir / "artifacts")


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio switches Nagle's delay off (40 ms an answer) only where the protocol is named.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
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


def _base_url(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _is_loopback(host: str) -> bool:
    return host in {"localhost", "::1"} or host.startswith("127.")
