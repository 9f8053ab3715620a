"""The secrets of endpoints when the signing keys change: what was sealed before still opens, and is sealed anew."""

from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from receiver.domain.endpoint import Endpoint
from receiver.domain.token import SigningKey
from receiver.lifecycle import notify
from receiver.lifecycle.ports import Notifying, Ports
from receiver.lifecycle.sealing import Secret, keys_of, seal
from receiver.storage.store import open_store
from receiver.storage.vault import FernetVault
from tests.web.fakes import World

OLD, NEW = SigningKey("old", b"o" * 32), SigningKey("new", b"n" * 32)
KEY = b"the key of an endpoint, 32 bytes"


def keyed(ports: Ports, *keys: SigningKey) -> Ports:
    return replace(ports, notifying=Notifying(vault=FernetVault(keys)))


async def test_a_start_seals_secrets_under_the_first_key_so_that_the_old_one_may_go(tmp_path: Path) -> None:
    async with open_store(tmp_path / "receiver.db") as store:
        ports = replace(World().ports, store=store)
        old, both, new = keyed(ports, OLD), keyed(ports, NEW, OLD), keyed(ports, NEW)
        now, endpoint_id = ports.system.now(), uuid4()
        sealed = seal(old, endpoint_id, (Secret(KEY),))
        endpoint = Endpoint(endpoint_id, "https://app.example/", now, sealed=sealed)
        await store.outbox.add_endpoint(endpoint)
        assert keys_of(both, endpoint, now) == (KEY,)
        # Without its key it signs nothing, and is kept: the key may come back.
        await notify.start(new)
        assert await store.outbox.endpoint(endpoint_id) == endpoint
        assert keys_of(new, endpoint, now) == ()
        await notify.start(both)
        renewed = await store.outbox.endpoint(endpoint_id)
        assert renewed is not None
        assert keys_of(new, renewed, now) == (KEY,)
        assert keys_of(old, renewed, now) == ()
        # And not at every start.
        await notify.start(both)
        assert await store.outbox.endpoint(endpoint_id) == renewed
