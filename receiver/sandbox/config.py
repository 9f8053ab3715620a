"""What one sandbox is started with."""

from dataclasses import dataclass, field
from pathlib import Path

from receiver.sandbox.faults import Faults

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class SandboxConfig:
    """Seed of all randomness, factor on the duration of generations, and the faults at the start.

    `seed` makes fates, ids and audio repeat from run to run. `time_scale` multiplies `faults.seconds` and nothing
    else. `ca_file` holds certificates that callbacks trust besides the public ones. `max_body_bytes` bounds every
    request body; AIMLAPI takes 50 MB of reference audio, which is 67 MB in base64.
    """

    seed: int = 0
    time_scale: float = 1.0
    faults: Faults = field(default_factory=Faults)
    max_body_bytes: int = 72 * MEBIBYTE
    ca_file: Path | None = None
