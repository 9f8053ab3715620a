import subprocess
import sys
import time
from uuid import RFC_4122

from receiver.system import RealSystem


def test_keys_are_version_7_ordered_by_time_and_different() -> None:
    system = RealSystem()
    first = [system.new_key() for _ in range(200)]
    time.sleep(0.003)
    later = system.new_key()
    assert all(key.version == 7 and key.variant == "specified in RFC 4122" for key in first)
    assert len(set(first)) == 200
    assert max(first) < later


def test_ids_are_version_4_and_the_clock_is_aware() -> None:
    system = RealSystem()
    ids = {system.new_id() for _ in range(200)}
    assert (len(ids), {each.version for each in ids}, {each.variant for each in ids}) == (200, {4}, {RFC_4122})
    assert system.now().utcoffset() is not None
    assert 0 <= system.jitter() < 1


def test_a_checkpoint_kills_the_process_the_nth_time_it_is_reached() -> None:
    program = (
        "from receiver.system import KillAt, RealSystem\n"
        "system = RealSystem(KillAt('here:2'))\n"
        "for name in ('here', 'there', 'here', 'after'):\n"
        "    system.checkpoint(name)\n"
        "    print(name, flush=True)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == -9
    assert ended.stdout.split() == ["here", "there"]
