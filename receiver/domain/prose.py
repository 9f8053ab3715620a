"""Words of others, made fit to keep and to show."""

#: What is looked at is so many times what may be shown: links and spaces shrink. Patterns never see more, for one
#: that takes its time stops the whole process.
ROOM = 4


def one_line(text: str, longest: int) -> str:
    """Return one printable line of at most so many characters: what no database refuses and no terminal obeys."""
    # Cut first: what comes may be long. Control and bidirectional marks are not printable.
    printable = "".join([character if character.isprintable() else " " for character in text[: longest * ROOM]])
    joined = " ".join(printable.split())
    return joined if len(joined) <= longest else joined[: longest - 1] + "…"
