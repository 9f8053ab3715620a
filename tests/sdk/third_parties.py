"""What the libraries that users verify notifications with say of a request, each asked in its own language."""

import base64
import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import standardwebhooks

from receiver.sdk import NotificationError, verify_notification

JAVASCRIPT = Path(__file__).parents[1] / "javascript"
LIBRARIES_OF_NPM = ("npm standardwebhooks", "npm svix")


@dataclass(frozen=True, slots=True)
class Case:
    """A request as it comes to the user's application, and the secret that is held against it."""

    name: str
    secret: str
    body: bytes
    headers: Mapping[str, str]


def of_ours(cases: Sequence[Case]) -> dict[str, object]:
    """Return what our own verifier says: True, or why not."""

    def verdict(case: Case) -> object:
        try:
            verify_notification(case.body, case.headers, case.secret)
        except NotificationError as error:
            return repr(error)
        return True

    return {case.name: verdict(case) for case in cases}


def of_python(cases: Sequence[Case]) -> dict[str, object]:
    """Return what the reference implementation for Python says; whatever it raises is a no."""

    def verdict(case: Case) -> object:
        try:
            standardwebhooks.Webhook(case.secret).verify(case.body, dict(case.headers))
        except Exception as error:  # noqa: BLE001 - it raises ValueError for a header without a comma, and others
            return repr(error)
        return True

    return {case.name: verdict(case) for case in cases}


def of_npm(cases: Sequence[Case]) -> dict[str, dict[str, object]]:
    """Return what the libraries of npm say, by library; skip the test where they are not installed."""
    node = shutil.which("node")
    if node is None or not (JAVASCRIPT / "node_modules" / ".ready").exists():
        pytest.skip("the libraries of npm are not there: `make test` installs them where npm is")
    asked = [
        {
            "name": case.name,
            "secret": case.secret,
            "headers": dict(case.headers),
            "body": base64.b64encode(case.body).decode(),
        }
        for case in cases
    ]
    said = subprocess.run(
        [node, str(JAVASCRIPT / "verify.js")], input=json.dumps(asked).encode(), capture_output=True, check=True
    )
    verdicts: dict[str, dict[str, object]] = json.loads(said.stdout)
    assert tuple(verdicts) == LIBRARIES_OF_NPM
    return verdicts


def believed(verdicts: Mapping[str, object]) -> set[str]:
    """Return the names of the requests that were taken for genuine."""
    return {name for name, verdict in verdicts.items() if verdict is True}
