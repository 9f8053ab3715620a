"""What a drill left in the user's bucket: removed, below a prefix of its own and nowhere else."""

from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from receiver.drill.processes import DrillError

if TYPE_CHECKING:
    from obstore.store import S3Config


def empty(location: str, settings: Mapping[str, str]) -> None:
    """Remove all that lies below s3://bucket/prefix. Raises DrillError, which names what is left."""
    import obstore  # noqa: PLC0415 - needed only where the audio is kept in a bucket
    from obstore.exceptions import BaseError  # noqa: PLC0415 - the same
    from obstore.store import S3Store  # noqa: PLC0415 - the same

    parts = urlsplit(location)
    endpoint = settings.get("RECEIVER_S3_ENDPOINT_URL")
    config: S3Config = {}
    if endpoint is not None:
        config["endpoint"] = endpoint
    if (region := settings.get("RECEIVER_S3_REGION")) is not None:
        config["region"] = region
    key, secret = settings.get("RECEIVER_S3_ACCESS_KEY_ID"), settings.get("RECEIVER_S3_SECRET_ACCESS_KEY")
    if key is not None and secret is not None:
        config["access_key_id"], config["secret_access_key"] = key, secret
    try:
        store = S3Store(
            parts.netloc,
            prefix=parts.path.strip("/"),
            config=config,
            client_options={"allow_http": (endpoint or "").startswith("http://")},
        )
        for page in obstore.list(store):
            obstore.delete(store, [meta["path"] for meta in page])
    except (BaseError, OSError) as error:
        # Its words may hold a signed URL.
        raise DrillError(f"what it put below {location} could not be removed ({type(error).__name__})") from None
