"""Whatever fits the document is sent to a real server, and what does not: every answer is one that it describes."""

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from receiver.storage.store import open_store
from receiver.web import create_app
from tests.web.fakes import BEARER, World
from tests.web.interface import document
from tests.web.support import config, served
from tests.web.test_openapi import COVER

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
    negative_data_rejection,
]
schema = schemathesis.openapi.from_dict(document(), config=SchemathesisConfig(seed=1))


@dataclass(frozen=True, slots=True)
class Service:
    """A served application over a SQLite store, with one task in it that has ended."""

    url: str
    task_id: str


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    ready, over = threading.Event(), threading.Event()
    urls: list[str] = []

    async def serve(folder: Path) -> None:
        world = World()
        async with open_store(folder / "receiver.db") as store:
            world.ports = replace(world.ports, store=store)
            async with served(create_app(world.ports, config(metrics_page=bytes))) as server:
                urls.append(f"http://127.0.0.1:{server.port}")
                ready.set()
                await asyncio.to_thread(over.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve(tmp_path_factory.mktemp("conformance"))))
    thread.start()
    try:
        assert ready.wait(120)
        with httpx.Client(base_url=urls[0], headers=BEARER) as http:
            task_id = http.post("/v1/tasks", json=COVER).json()["id"]
            # One who waits for it is answered at once.
            assert http.post(f"/v1/tasks/{task_id}/cancel").status_code == 200
        yield Service(urls[0], task_id)
    finally:
        over.set()
        thread.join(20)


@schema.parametrize()
@settings(
    max_examples=15,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_is_one_that_is_described(case: schemathesis.Case[Any], service: Service) -> None:
    if case.method != "DELETE" and len(str(case.path_parameters.get("id", ""))) % 2:
        case.path_parameters["id"] = service.task_id
    case.call_and_validate(base_url=service.url, headers=BEARER, checks=CHECKS, timeout=60)
