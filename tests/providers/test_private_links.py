"""A link that only our own network can reach is warned of before the provider fails over it."""

import pytest

from receiver.domain.request import TaskRequest
from receiver.providers import PROVIDERS

_WORDS = "is a private address, which the provider cannot reach: use a public link"


def warned(name: str, link: str, *, upload: str | None = None, own_url: str | None = None) -> list[tuple[str, str]]:
    options = {option.name: option.default for option in PROVIDERS[name].options}
    adapter = PROVIDERS[name].build(options if own_url is None else {**options, "url": own_url}, "key")
    asked = TaskRequest(name, prompt="bossa nova, nylon guitar", reference_audio=link, upload_endpoint=upload)
    return [(warning.field, warning.message) for warning in adapter.check(asked).warnings]


@pytest.mark.parametrize("name", sorted(PROVIDERS))
@pytest.mark.parametrize(
    ("link", "host"),
    [
        ("http://127.0.0.1:8000/song.mp3", "127.0.0.1"),
        ("http://localhost:8000/song.mp3", "localhost"),
        ("https://192.168.1.20/song.mp3", "192.168.1.20"),
        ("https://[::1]/song.mp3", "::1"),
        ("https://[::ffff:10.0.0.1]/song.mp3", "::ffff:10.0.0.1"),
        ("https://files/song.mp3", "files"),
        ("https://files.internal./song.mp3", "files.internal"),
        ("https://169.254.169.254/song.mp3", "169.254.169.254"),
    ],
)
def test_a_link_into_a_private_network_is_warned_of(name: str, link: str, host: str) -> None:
    assert warned(name, link) == [("reference_audio", f"{host} {_WORDS}")]


@pytest.mark.parametrize("name", sorted(PROVIDERS))
@pytest.mark.parametrize(
    "link",
    [
        "https://files.example.org/song.mp3",
        "http://93.184.216.34:8000/song.mp3",
        "https://internal.example.org/a.mp3",
    ],
)
def test_a_public_link_is_not(name: str, link: str) -> None:
    assert warned(name, link) == []


@pytest.mark.parametrize("name", sorted(PROVIDERS))
@pytest.mark.parametrize("own_url", ["http://127.0.0.1:9090/played", "http://sandbox:9090/played"])
def test_a_provider_in_the_same_network_reaches_it(name: str, own_url: str) -> None:
    assert warned(name, "http://127.0.0.1:8000/song.mp3", own_url=own_url) == []


def test_where_a_provider_uploads_to_is_looked_at_too() -> None:
    said = warned("runware", "https://files.example.org/song.mp3", upload="https://10.1.2.3/put")
    assert said == [("upload_endpoint", f"10.1.2.3 {_WORDS}")]
