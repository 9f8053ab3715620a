"""What is set, judged before anything is made: a start that is refused leaves nothing behind."""

import logging
import os
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from receiver.bootstrap.failure import StartError
from receiver.outbound import AllowedHosts, HttpOutbound, Purpose
from receiver.settings import Loaded
from receiver.storage import keyfiles
from receiver.storage.objects import BucketAccess, check_location
from receiver.storage.places import is_shared

_log = logging.getLogger("receiver")


def check_data_folder(path: Path) -> None:
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


def allowed_hosts(loaded: Loaded) -> AllowedHosts:
    """Return where http and addresses that are not public are allowed. Raises StartError, for the public URL too."""
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


def check_notify_url(url: str | None, allowed: AllowedHosts) -> None:
    """Refuse what could not be called whatever its addresses are: names may not resolve yet when we start."""
    reason = None if url is None else HttpOutbound(allowed=allowed, provider_urls=()).refusal_of(url, Purpose.NOTIFY)
    if reason is not None:
        raise StartError(
            f"RECEIVER_NOTIFY_URL: {reason}; hosts of your own network are named in RECEIVER_ALLOWED_PRIVATE_HOSTS, "
            "such as notify=app.internal:8000"
        )


def check_shared_keys(loaded: Loaded) -> None:
    """Refuse to make keys of our own where other processes need the same ones."""
    settings = loaded.settings
    wanted = {"RECEIVER_SIGNING_KEYS": settings.signing_keys, "RECEIVER_API_KEYS": settings.api_keys}
    missing = [name for name, value in wanted.items() if value is None]
    if missing and shares_database(loaded):
        raise StartError(
            f"{' and '.join(missing)} must be set where RECEIVER_DATABASE_URL is PostgreSQL, to the same for every "
            "process that shares it: `receiver keys new` makes both"
        )


def check_places(loaded: Loaded) -> None:
    """Say what is wrong with where the database and the audio are to be, making neither. Raises StartError."""
    url = loaded.settings.database_url
    if url is not None and not is_shared(url) and not url.startswith("sqlite:///"):
        raise StartError("RECEIVER_DATABASE_URL must be sqlite:///<path> or postgresql://<user>@<host>/<database>")
    location = artifact_store(loaded)
    try:
        check_location(location)
    except ValueError as error:
        raise StartError(f"RECEIVER_ARTIFACT_STORE_URL: {error}") from error
    if location.startswith("memory:") and shares_database(loaded):
        raise StartError(
            "RECEIVER_ARTIFACT_STORE_URL: memory:// belongs to one process alone, and RECEIVER_DATABASE_URL may be "
            "shared by several; give a folder that all of them share, or s3://bucket"
        )
    if loaded.settings.download_link_seconds and not location.startswith("s3:"):
        raise StartError(
            "RECEIVER_DOWNLOAD_LINK_SECONDS needs RECEIVER_ARTIFACT_STORE_URL=s3://…: only a bucket gives out links"
        )


def shares_database(loaded: Loaded) -> bool:
    """Tell whether other processes may work on the same database."""
    return is_shared(loaded.settings.database_url or "")


def artifact_store(loaded: Loaded) -> str:
    """Return where audio is kept."""
    return loaded.settings.artifact_store_url or str(loaded.settings.data_dir / "artifacts")


def bucket_access(loaded: Loaded) -> BucketAccess:
    """Return how a bucket is reached, were audio kept in one."""
    settings = loaded.settings
    return BucketAccess(
        settings.s3_endpoint_url, settings.s3_region, settings.s3_access_key_id, settings.s3_secret_access_key
    )
