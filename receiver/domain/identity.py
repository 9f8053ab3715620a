"""UUIDs made of the number they are.

A row has half a dozen of them, and the constructor of ``uuid.UUID`` first asks which of its six forms it was given:
two thirds of the time that reading a row took.
"""

from uuid import UUID, SafeUUID

_new = UUID.__new__
_put = object.__setattr__
# An enumeration looks for a member in Python, each time.
_unknown = SafeUUID.unknown


def uuid_of(number: int) -> UUID:
    """Return the UUID that is this number of 128 bits; what is made of a larger one is none."""
    made = _new(UUID)
    # A UUID refuses assignments; its own constructor gets round that in the same way.
    _put(made, "int", number)
    _put(made, "is_safe", _unknown)
    return made
