from collections.abc import Mapping
from pathlib import Path

import pytest

from receiver.lifecycle.ports import Provider, ProviderEntry, ProviderOption
from receiver.settings import Loaded, SettingsError, load


def no_provider(options: Mapping[str, str], key: str | None) -> Provider:
    raise AssertionError("reading settings makes no provider")


ENTRIES = (ProviderEntry("lark", (ProviderOption("poll_seconds", "how often", "15"),), no_provider),)


def loaded(environ: Mapping[str, str], env_file: Path | None = None) -> Loaded:
    return load(ENTRIES, environ={"RECEIVER_SECRETS_DIR": "/nonexistent", **environ}, env_file=env_file)


def test_without_any_variable_the_defaults_hold() -> None:
    settings = loaded({}).settings
    assert settings.public_url is None
    assert settings.sqlite_path == Path("var/receiver.db")
    assert settings.limits().deadline.total_seconds() == 1800


def test_a_misspelt_name_is_an_error_that_tells_the_nearest_right_one() -> None:
    with pytest.raises(SettingsError, match=r"RECEIVER_PUBLIC_ULR \(environment\).*did you mean RECEIVER_PUBLIC_URL"):
        loaded({"RECEIVER_PUBLIC_ULR": "https://a.example"})


def test_a_misspelt_option_of_a_provider_is_an_error_too() -> None:
    with pytest.raises(SettingsError, match="did you mean RECEIVER_LARK_POLL_SECONDS"):
        loaded({"RECEIVER_LARK_POLL_SECOND": "3"})


@pytest.mark.parametrize(
    "name",
    ["RECEIVER_SERVICE_HOST", "RECEIVER_PORT", "RECEIVER_PORT_8080_TCP_ADDR", "RECEIVER_SERVICE_PORT_HTTP"],
)
def test_what_kubernetes_injects_for_a_service_is_ignored(name: str) -> None:
    assert loaded({name: "tcp://10.0.0.1:80"}).settings.public_url is None


def test_every_wrong_value_is_named_and_none_is_quoted() -> None:
    with pytest.raises(SettingsError) as caught:
        loaded({"RECEIVER_PUBLIC_URL": "ftp://hidden", "RECEIVER_LEASE_SECONDS": "hidden"})
    assert "RECEIVER_PUBLIC_URL" in str(caught.value)
    assert "RECEIVER_LEASE_SECONDS" in str(caught.value)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("url", ["hooks.example.org", "https://u:p@hooks.example.org", "https://a.example/?q=1"])
def test_a_public_url_that_cannot_be_one_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="RECEIVER_PUBLIC_URL"):
        loaded({"RECEIVER_PUBLIC_URL": url})


def test_the_environment_wins_over_the_env_file_and_that_over_the_secrets_folder(tmp_path: Path) -> None:
    (tmp_path / "RECEIVER_LOG_LEVEL").write_text("error\n")
    (tmp_path / "lark_api_key").write_text("from-folder\n")
    env_file = tmp_path / ".env"
    env_file.write_text("RECEIVER_LOG_LEVEL=warning\nRECEIVER_LEASE_SECONDS=7\n")
    environ = {"RECEIVER_SECRETS_DIR": str(tmp_path), "RECEIVER_LEASE_SECONDS": "9"}
    found = load(ENTRIES, environ=environ, env_file=env_file)
    assert found.settings.log_level == "warning"
    assert found.settings.lease_seconds == 9
    assert found.keys == {"lark": "from-folder"}


def test_an_empty_variable_is_as_good_as_none() -> None:
    assert loaded({"RECEIVER_PUBLIC_URL": "", "LARK_API_KEY": ""}).keys == {}


def test_a_providers_options_come_with_their_defaults() -> None:
    assert loaded({}).options["lark"] == {"poll_seconds": "15"}
    assert loaded({"RECEIVER_LARK_POLL_SECONDS": "2"}).options["lark"] == {"poll_seconds": "2"}


def test_what_is_described_masks_secrets_and_names_their_source() -> None:
    described = {line.name: line for line in loaded({"LARK_API_KEY": "hush", "RECEIVER_API_KEYS": "hush"}).described}
    assert described["LARK_API_KEY"].value == "[set]"
    assert described["RECEIVER_API_KEYS"].source == "environment"
    assert "hush" not in repr(described)
    assert "hush" not in repr(loaded({"LARK_API_KEY": "hush"}))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:hush@db/x", "postgresql://[set]@db/x"),
        ("postgresql://u:hush/hush@hush@db/x", "postgresql://[set]@db/x"),
        ("postgresql://db/x?user=u&password=hush", "postgresql://db/x?[set]"),
        ("sqlite:////var/lib/x.db", "sqlite:////var/lib/x.db"),
    ],
)
def test_a_password_inside_a_url_is_masked(url: str, shown: str) -> None:
    for name in ("RECEIVER_DATABASE_URL", "RECEIVER_ARTIFACT_STORE_URL"):
        described = {line.name: line for line in loaded({name: url}).described}
        assert described[name].value == shown


@pytest.mark.parametrize("name", ["LARK_APIKEY", "LARK_API_KEYS", "LARK_KEY", "LARK_APY_KEY"])
def test_a_name_that_can_only_be_meant_as_a_providers_key_is_an_error(name: str) -> None:
    with pytest.raises(SettingsError, match="did you mean LARK_API_KEY"):
        loaded({name: "hush"})


def test_other_names_that_begin_like_a_provider_are_left_alone() -> None:
    assert loaded({"LARK_HOME": "x", "LARK_KEYBOARD_LAYOUT": "y"}).keys == {}


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("RECEIVER_LEASE_SECONDS", "soon", "must be a number"),
        ("RECEIVER_MAX_CALLBACK_BYTES", "4.5", "must be a whole number"),
        ("RECEIVER_LEASE_SECONDS", "0", "must be greater than or equal to 1"),
        ("RECEIVER_LOG_LEVEL", "loud", "must be debug, info, warning or error"),
    ],
)
def test_what_is_wrong_is_said_in_plain_words(name: str, value: str, words: str) -> None:
    with pytest.raises(SettingsError, match=f"{name}: {words}"):
        loaded({name: value})


def test_trusted_proxies_are_addresses_or_networks() -> None:
    settings = loaded({"RECEIVER_TRUSTED_PROXIES": "10.0.0.7, 172.31.250.3/28"}).settings
    assert settings.trusted_proxies == "10.0.0.7/32,172.31.250.0/28"
    with pytest.raises(SettingsError, match="RECEIVER_TRUSTED_PROXIES: must be addresses or networks"):
        loaded({"RECEIVER_TRUSTED_PROXIES": "proxy.internal"})


METRICS_KEY = "metrics:0123456789abcdef0123456789abcdef"


def test_the_key_of_the_metrics_is_masked_and_among_what_nothing_may_show() -> None:
    found = loaded({"RECEIVER_METRICS_KEY": METRICS_KEY})
    assert {line.name: line.value for line in found.described}["RECEIVER_METRICS_KEY"] == "[set]"
    assert METRICS_KEY.partition(":")[2] in found.secrets


@pytest.mark.parametrize(
    ("environ", "reason"),
    [
        ({"RECEIVER_METRICS_KEY": "metrics:short"}, "RECEIVER_METRICS_KEY: must have at least 32 characters"),
        (
            {"RECEIVER_METRICS_KEY": METRICS_KEY, "RECEIVER_API_KEYS": f"a:{'b' * 32}, {METRICS_KEY}"},
            "open everything",
        ),
        (
            {"RECEIVER_METRICS_KEY": METRICS_KEY.partition(":")[2], "RECEIVER_API_KEYS": METRICS_KEY},
            "open everything",
        ),
    ],
)
def test_a_key_of_the_metrics_that_is_weak_or_opens_more_is_refused(environ: dict[str, str], reason: str) -> None:
    with pytest.raises(SettingsError, match=reason) as refused:
        loaded(environ)
    assert METRICS_KEY.partition(":")[2] not in str(refused.value)
