"""Every file in infra/ is checked by the program that reads it."""

import json
import re
import shlex
import shutil
import sys
from collections import Counter
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.infra.tools import HOUSE, INFRA, assert_passes, run

#: systemd-analyze's exposure, 0 (safe) to 10, in tenths.
MOST_EXPOSURE = {"receiver.service": 12, "receiver-backup.service": 4}
YAML_RULES = (
    "{extends: default, rules: {line-length: {max: 120}, document-start: disable, braces: {max-spaces-inside: 0}}}"
)
CADDY_ENVIRONMENTS = {
    "as it comes": {},
    "with processes by role": {
        "UPSTREAM": "callbacks-1:8080 callbacks-2:8080",
        "API_SITE": "Caddyfile.api",
        "API_FROM": "api",
        "API_UPSTREAM": "api:8080",
    },
    "with a public name": {"PUBLIC_HOST": "hooks.example.org", "TLS": "you@example.org"},
    "with the private side": {
        "PUBLIC_HOST": "hooks.example.org",
        "TLS": "you@example.org",
        "API_SITE": "Caddyfile.api",
        "API_HOST": "api.example.org",
    },
}
#: What compose.yaml must say of every container, as a schema.
HARDENED = {
    "type": "object",
    "properties": {
        "services": {
            "additionalProperties": {
                "type": "object",
                "required": [
                    "read_only",
                    "cap_drop",
                    "security_opt",
                    "user",
                    "healthcheck",
                    "mem_limit",
                    "pids_limit",
                ],
                "properties": {
                    "read_only": {"const": True},
                    "cap_drop": {"const": ["ALL"]},
                    "security_opt": {"const": ["no-new-privileges:true"]},
                    "user": {"pattern": "^[1-9][0-9]*:[1-9][0-9]*$"},
                    "cap_add": {"const": ["NET_BIND_SERVICE"]},
                    "privileged": False,
                    "network_mode": {"const": "none"},
                },
            }
        }
    },
}


def test_the_dockerfile_has_nothing_that_hadolint_minds() -> None:
    assert_passes("hadolint", INFRA / "Dockerfile")


def test_the_image_installs_from_the_locks_with_hashes_and_runs_as_nobody_of_importance() -> None:
    text = (INFRA / "Dockerfile").read_text("utf-8")
    installs = [line for line in text.splitlines() if "/bin/pip install" in line]
    assert installs
    assert all("--require-hashes" in line or "--no-index --no-deps" in line for line in installs)
    for stage in text.split("\nFROM ")[2:]:
        assert "\nUSER 10001:10001\n" in stage
        assert "\nHEALTHCHECK " in stage


def test_what_the_image_copies_is_let_through_to_the_builder() -> None:
    text = (INFRA / "Dockerfile").read_text("utf-8")
    let_through = {line[1:] for line in (HOUSE / ".dockerignore").read_text("utf-8").splitlines() if line[:1] == "!"}
    copies = [
        shlex.split(line)[1:-1] for line in text.splitlines() if line.startswith("COPY ") and "--from" not in line
    ]
    copied = {name for names in copies for name in names}
    assert copied == let_through
    assert all((HOUSE / name).exists() for name in copied)


def test_compose_is_what_its_schema_asks_for() -> None:
    # The schema comes with the checker: nothing is fetched.
    assert_passes("check-jsonschema", "--builtin-schema", "vendor.compose-spec", INFRA / "compose.yaml")


def test_every_container_is_read_only_without_capabilities_and_watched(tmp_path: Path) -> None:
    schema = tmp_path / "hardened.json"
    schema.write_text(json.dumps(HARDENED))
    assert_passes("check-jsonschema", "--schemafile", schema, INFRA / "compose.yaml")
    softened = tmp_path / "compose.yaml"
    softened.write_text((INFRA / "compose.yaml").read_text("utf-8").replace("read_only: true", "read_only: false"))
    assert run("check-jsonschema", "--schemafile", schema, softened).returncode != 0


def test_the_profile_scale_has_every_role_and_the_proxy_sends_each_side_to_its_own() -> None:
    """Every process has the same settings, so that any of them may do the work of another."""
    # As compose fills in what nobody has set.
    text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", (INFRA / "compose.yaml").read_text("utf-8"))
    services = YAML(typ="safe").load(text)["services"]
    scaled = {name: one for name, one in services.items() if one["profiles"] == ["scale"]}
    roles = {name: one["command"][-1] for name, one in scaled.items() if "command" in one}
    assert Counter(roles.values()) == {"callbacks": 2, "worker": 2, "api": 1}
    assert len({json.dumps([scaled[name]["environment"], scaled[name]["volumes"]]) for name in roles}) == 1
    environment = {**scaled["caddy-scale"]["environment"], "API_SITE": "Caddyfile.api"}
    adapted = run("caddy", "adapt", "--config", INFRA / "Caddyfile", environment=environment).stdout
    document = json.loads(adapted[adapted.index('{"admin"') :].splitlines()[0])
    [server] = document["apps"]["http"]["servers"].values()
    public, private = environment["PUBLIC_HOST"], environment["API_HOST"]
    dialled = {
        host: set(re.findall(r'"dial": "([^"]+):8080"', json.dumps(one)))
        for one in server["routes"]
        for host in one.get("match", [{}])[0].get("host", [])
    }
    assert {roles[name] for name in dialled[public]} == {"callbacks"}
    assert len(dialled[public]) == 2
    assert {roles[name] for name in dialled[private]} == {"api"}


@pytest.mark.parametrize("name", ["compose.yaml", "prometheus/prometheus.yml", "prometheus/rules.yml"])
def test_yaml_is_tidy(name: str) -> None:
    assert_passes("yamllint", "--strict", "--config-data", YAML_RULES, INFRA / name)


def test_the_rules_and_the_scrape_are_valid() -> None:
    assert_passes("promtool", "check", "rules", INFRA / "prometheus" / "rules.yml")
    assert_passes("promtool", "check", "config", "--syntax-only", INFRA / "prometheus" / "prometheus.yml")


def test_every_alert_speaks_when_it_should_and_not_otherwise() -> None:
    assert_passes("promtool", "test", "rules", INFRA / "prometheus" / "rules_test.yml")


@pytest.mark.parametrize("environment", CADDY_ENVIRONMENTS.values(), ids=list(CADDY_ENVIRONMENTS))
def test_caddy_takes_its_file(environment: dict[str, str], tmp_path: Path) -> None:
    homes = {"XDG_DATA_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    arguments = ["--config", str(INFRA / "Caddyfile"), "--adapter", "caddyfile"]
    assert_passes("caddy", "validate", *arguments, environment={**homes, **environment})


@pytest.mark.parametrize("name", ["Caddyfile", "Caddyfile.api"])
def test_caddy_files_are_formatted(name: str, tmp_path: Path) -> None:
    shutil.copyfile(INFRA / name, tmp_path / name)
    assert_passes("caddy", "fmt", "--overwrite", tmp_path / name)
    assert (tmp_path / name).read_text("utf-8") == (INFRA / name).read_text("utf-8")


def test_caddy_bounds_heads_and_time_and_leaves_writing_unbounded(tmp_path: Path) -> None:
    adapted = tmp_path / "caddy.json"
    answer = run("caddy", "adapt", "--config", INFRA / "Caddyfile", "--adapter", "caddyfile")
    adapted.write_text(answer.stdout[answer.stdout.index('{"admin"') :].splitlines()[0])
    document = json.loads(adapted.read_text())
    assert document["admin"] == {"disabled": True}
    [server] = document["apps"]["http"]["servers"].values()
    second = 10**9
    assert server["read_header_timeout"] == 10 * second
    assert server["read_timeout"] == 130 * second
    assert server["max_header_bytes"] == 28 * 1024
    assert "write_timeout" not in server
    assert "logs" not in server


@pytest.mark.parametrize("name", MOST_EXPOSURE)
def test_a_unit_is_valid_and_exposes_little(name: str, tmp_path: Path) -> None:
    unit = tmp_path / name
    text = (INFRA / "systemd" / name).read_text("utf-8")
    # The programs lie here on this machine, and man pages need not.
    text = text.replace("/opt/receiver/.venv/bin/", f"{Path(sys.executable).parent}/")
    unit.write_text(text)
    complaints = assert_passes("systemd-analyze", "verify", "--man=no", unit)
    assert name not in complaints
    assert_passes("systemd-analyze", "security", "--offline=true", f"--threshold={MOST_EXPOSURE[name]}", unit)


def test_the_timer_is_valid(tmp_path: Path) -> None:
    for name in ("receiver-backup.service", "receiver-backup.timer"):
        text = (INFRA / "systemd" / name).read_text("utf-8")
        (tmp_path / name).write_text(text.replace("/opt/receiver/.venv/bin/", f"{Path(sys.executable).parent}/"))
    complaints = assert_passes("systemd-analyze", "verify", "--man=no", tmp_path / "receiver-backup.timer")
    assert "receiver-backup" not in complaints


def test_shell_scripts_have_nothing_that_shellcheck_minds() -> None:
    assert_passes("shellcheck", HOUSE / ".ci" / "run")
