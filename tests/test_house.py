"""The rules of the house that no other gate knows: what lies where, and what no file may say."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.source import parsed

HOUSE = Path(__file__).resolve().parent.parent
FOLDERS = {"receiver", "tests", "infra"}
# A module of this length is two.
LONGEST_MODULE_IN_LINES = 400
# Put together here, so that this file does not say them.
INDEX_HOSTS = tuple(
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("pypi", "python", "org"),
        ("registry", "npmjs", "org"),
        ("registry", "yarnpkg", "com"),
        ("deb", "debian", "org"),
        ("archive", "ubuntu", "com"),
        ("proxy", "golang", "org"),
        ("static", "crates", "io"),
    )
)
# What a room may import besides the standard library and the floors below it; one not named here is free.
LIBRARIES_OF_ROOM = {
    "domain": set[str](),
    "lifecycle": {"anyio"},
    "providers": {"pydantic"},
    "sdk": {"httpx"},
}


@cache
def house_files() -> tuple[Path, ...]:
    """All files that are committed or would be: in a git checkout what git says, else what lies here."""
    # The folder may belong to somebody else (a mounted volume, a CI checkout); reading its list is harmless.
    listing = ["git", "-c", f"safe.directory={HOUSE}", "ls-files", "-z", "-co", "--exclude-standard"]
    if (HOUSE / ".git").exists():
        answer = subprocess.run(listing, cwd=HOUSE, capture_output=True, check=True)
        found = [HOUSE / name for name in answer.stdout.decode().split("\0") if name]
    else:
        made = {".venv", "build", "dist", "htmlcov", "var", "__pycache__", "node_modules"}
        found = [path for path in HOUSE.rglob("*") if not made & set(path.relative_to(HOUSE).parts)]
        found = [path for path in found if not any("_cache" in part for part in path.parts)]
    return tuple(sorted(path for path in found if path.is_file()))


def modules(*, of: str = "receiver") -> list[Path]:
    return [path for path in house_files() if path.suffix == ".py" and path.is_relative_to(HOUSE / of)]


def shown(path: Path) -> str:
    return path.relative_to(HOUSE).as_posix()


def room_of(module: Path) -> str:
    """The room that a module belongs to: the first name below receiver/."""
    return module.relative_to(HOUSE / "receiver").parts[0].removesuffix(".py")


def imports(module: Path) -> Iterator[str]:
    """The full name of everything that a module imports, wherever in the module it does so."""
    for node in ast.walk(parsed(module)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def lines_of_lists(text: str, *, below: str, until: str) -> list[str]:
    """The lines with a quoted entry between two lines of pyproject.toml."""
    section = text.split(f"\n{below}\n", 1)[1].split(f"\n{until}\n", 1)[0]
    return [line for line in section.splitlines() if line.startswith('    "')]


def test_the_list_of_files_holds_this_file() -> None:
    assert Path(__file__).resolve() in house_files()


def test_no_file_names_the_host_of_a_package_index() -> None:
    named = [
        f"{shown(path)}: {host}"
        for path in house_files()
        for host in INDEX_HOSTS
        if host.encode() in path.read_bytes().lower()
    ]
    assert named == []


def test_no_file_fixes_one_python_or_writes_hosts_into_a_lock() -> None:
    forbidden = {"uv.lock", ".python-version"}
    assert [shown(path) for path in house_files() if path.name in forbidden] == []


def test_no_text_names_a_folder_of_the_machine_it_was_written_on() -> None:
    # Root's home and a checkout's own folder are left out: a container file may name such paths rightly.
    home = [f"{Path.home()}/"] if Path.home().is_relative_to("/home") else []
    places = tuple(place.encode() for place in ["/" + "Users/", "/" + "work/", *home])
    texts = [path for path in house_files() if b"\0" not in path.read_bytes()]
    assert [shown(path) for path in texts if any(place in path.read_bytes() for place in places)] == []


def test_the_top_level_holds_the_fixed_folders_and_no_other() -> None:
    tops = {path.relative_to(HOUSE).parts[0] for path in house_files() if path.parent != HOUSE}
    assert {top for top in tops if not top.startswith(".")} - FOLDERS == set()


def test_no_module_silences_the_type_checker() -> None:
    silenced = [
        f"{shown(path)}:{number}"
        for path in modules()
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1)
        if "type:" + " ignore" in line or "# mypy" + ":" in line
    ]
    assert silenced == []


def test_no_module_is_too_long_to_read() -> None:
    lengths = {shown(path): len(path.read_text("utf-8").splitlines()) for path in modules()}
    assert {name: length for name, length in lengths.items() if length > LONGEST_MODULE_IN_LINES} == {}


def test_the_inner_rooms_use_no_library_that_they_were_not_given() -> None:
    strangers = {
        f"{shown(path)}: {package}"
        for path in modules()
        for package in {name.partition(".")[0] for name in imports(path)}
        if room_of(path) in LIBRARIES_OF_ROOM
        if package not in {"receiver", *sys.stdlib_module_names, *LIBRARIES_OF_ROOM[room_of(path)]}
    }
    assert strangers == set()


@pytest.mark.parametrize("room", ["sandbox", "sdk"])
def test_only_the_command_line_uses_the_sandbox_and_the_client_library(room: str) -> None:
    users = {
        shown(path)
        for path in modules()
        if room_of(path) not in {"cli", room}
        if any(f"{name}.".startswith(f"receiver.{room}.") for name in imports(path))
    }
    assert users == set()


def test_the_package_itself_is_only_its_map() -> None:
    body = parsed(HOUSE / "receiver" / "__init__.py").body
    assert [type(node) for node in body] == [ast.Expr]


def test_the_map_has_a_paragraph_for_every_room() -> None:
    described = ast.get_docstring(parsed(HOUSE / "receiver" / "__init__.py")) or ""
    rooms = {room_of(path) for path in modules()} - {"__init__"}
    assert {room for room in rooms if f"\n{room} is " not in described} == set()


@pytest.mark.parametrize(
    ("below", "until"),
    [
        ("[tool.ruff.lint]", "[tool.ruff.lint.per-file-ignores]"),
        ("[tool.ruff.lint.per-file-ignores]", "[tool.ruff.lint.flake8-tidy-imports]"),
        ("filterwarnings = [", "]"),
    ],
    ids=["rules", "rules-for-some-files", "warnings"],
)
def test_every_opt_out_of_a_gate_has_its_reason(below: str, until: str) -> None:
    entries = lines_of_lists((HOUSE / "pyproject.toml").read_text("utf-8"), below=below, until=until)
    assert entries, "no entry was found: the section has moved"
    assert [line for line in entries if len(line.partition(" # ")[2].split()) < 3] == []


def test_every_noqa_names_its_rule_and_its_reason() -> None:
    marker = "# no" + "qa"
    bare = [
        f"{shown(path)}:{number}"
        for path in [*modules(), *modules(of="tests")]
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1)
        if marker in line and len(line.partition(marker)[2].split()) < 4
    ]
    assert bare == []


def test_every_target_of_the_makefile_says_what_it_is_for() -> None:
    lines = (HOUSE / "Makefile").read_text("utf-8").splitlines()
    targets = {name for line in lines if line.startswith(".PHONY:") for name in line.split()[1:]}
    described = {line.partition(":")[0] for line in lines if ":" in line and " ## " in line}
    assert targets, "no target was found"
    assert targets - described == set()


def test_every_installed_package_is_pinned_by_hash() -> None:
    for lock in sorted(HOUSE.glob("requirements*.lock")):
        entries = lock.read_text("utf-8").replace("\\\n", " ").splitlines()
        packages = [line for line in entries if line and not line.lstrip().startswith("#")]
        assert packages, lock.name
        assert [line for line in packages if "==" not in line or "--hash=sha256:" not in line] == []


def test_every_declared_dependency_is_in_a_lock() -> None:
    project = tomllib.loads((HOUSE / "pyproject.toml").read_text("utf-8"))
    groups = [
        project["project"]["dependencies"],
        *project["project"]["optional-dependencies"].values(),
        *project["dependency-groups"].values(),
    ]
    declared = {requirement_name(requirement) for group in groups for requirement in group}
    locked = {
        line.partition("==")[0]
        for lock in HOUSE.glob("requirements*.lock")
        for line in lock.read_text("utf-8").splitlines()
        if "==" in line
    }
    assert declared - locked == set()


def requirement_name(requirement: str) -> str:
    """The name in a requirement such as `httpx>=0.28,<0.29` or `uvloop>=0.21; sys_platform != 'win32'`."""
    end = next((at for at, letter in enumerate(requirement) if letter in "<>=!~;[ "), len(requirement))
    return requirement[:end]
