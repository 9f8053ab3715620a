"""Our own source as trees."""

import ast
import gc
from pathlib import Path


def parsed(path: Path) -> ast.Module:
    """Parse a module while nothing is collected.

    What an earlier test left behind may have a traceback formatted when it is collected, for which Python 3.11 parses
    the line. Were that in the middle, it would call our tree wrong: "AST constructor recursion depth mismatch".
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        return ast.parse(path.read_bytes())
    finally:
        if collects:
            gc.enable()
