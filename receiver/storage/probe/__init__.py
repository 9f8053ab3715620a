"""Looks into a file and says what audio it is, by its content alone, and whether it is whole.

What is taken is a closed list. A file cut short mostly still tells its full length at its beginning, so every kind is
followed to its end: half a cover must not be kept as a whole one.
"""

from receiver.storage.probe.judge import probe

__all__ = ["probe"]
