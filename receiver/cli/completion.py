"""`receiver completion SHELL`: a script that makes a shell complete commands and options, without starting us."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated

import typer
import typer.core

from receiver.cli import options, screen

#: The completion of zsh itself, where the person has not started it yet.
_ZSH_FIRST = "(( $+functions[compdef] )) || { autoload -U +X compinit && compinit; }"


class Shell(StrEnum):
    """Whose script it is."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


@dataclass(frozen=True, slots=True)
class _Command:
    """A command by its words ("keys new"; "" is the top), and what may follow: words and options, with their help.

    ``values`` is what may follow an option, where that is known.
    """

    path: str
    words: tuple[tuple[str, str], ...]
    options: tuple[tuple[str, str], ...]
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def completion(
    context: typer.Context,
    shell: Annotated[Shell, typer.Argument(metavar="SHELL", help="bash, zsh or fish.", show_default=False)],
    *,
    as_json: options.Json = False,
) -> None:
    """Print a shell's script for completion.

    Such as `source <(receiver completion bash)` in ~/.bashrc; the script is complete in itself.
    """
    root = context.find_root().command
    if not isinstance(root, typer.core.TyperGroup):
        raise TypeError("several commands make a group")
    commands = list(_commands(root, ""))
    script = _fish(commands) if shell is Shell.FISH else _bash(commands, zsh=shell is Shell.ZSH)
    if as_json:
        screen.document({"shell": shell.value, "script": script})
    else:
        typer.echo(script)


def _commands(command: typer.core.TyperGroup | typer.core.TyperCommand, path: str) -> Iterator[_Command]:
    from receiver.providers import PROVIDERS

    below = command.commands if isinstance(command, typer.core.TyperGroup) else {}
    words = [(name, _first_line(each.help)) for name, each in below.items() if not each.hidden]
    if any(parameter.name == "provider" and parameter.param_type_name == "argument" for parameter in command.params):
        words += [(name, "") for name in PROVIDERS]
    if path == "completion":
        words += [(shell.value, "") for shell in Shell]
    values = {
        name: _values_of(parameter)
        for parameter in command.params
        if isinstance(parameter, typer.core.TyperOption) and _values_of(parameter)
        for name in parameter.opts
        if name.startswith("--")
    }
    told = [
        (name, _first_line(parameter.help))
        for parameter in command.params
        if isinstance(parameter, typer.core.TyperOption) and not parameter.hidden
        for name in (*parameter.opts, *parameter.secondary_opts)
        if name.startswith("--")
    ]
    yield _Command(path, tuple(words), (*told, ("--help", "Show this message and exit.")), values)
    for name, each in below.items():
        if isinstance(each, typer.core.TyperGroup | typer.core.TyperCommand) and not each.hidden:
            yield from _commands(each, f"{path} {name}".strip())


def _values_of(option: typer.core.TyperOption) -> tuple[str, ...]:
    """Return what an option may be, where there are not many such words."""
    from receiver.domain.delivery import DeliveryError
    from receiver.domain.task import Status
    from receiver.providers import PROVIDERS

    closed = tuple(str(choice) for choice in getattr(option.type_descriptor, "choices", None) or ())
    known = {"status": tuple(Status), "provider": tuple(PROVIDERS), "error": tuple(DeliveryError)}
    return closed or known.get(option.name or "", ())


def _bash(commands: list[_Command], *, zsh: bool) -> str:
    cases = [
        f"    '{command.path}') words='{' '.join(word for word, _ in (*command.words, *command.options))}' ;;"
        for command in commands
    ]
    groups = "|".join(
        f"'{command.path}'" for command in commands if command.path and _has_commands(command, commands)
    )
    values = [
        f"    '{command.path} {option}') words='{' '.join(words)}' ;;"
        for command in commands
        for option, words in command.values.items()
    ]
    return "\n".join(
        [
            *([_ZSH_FIRST, "autoload -U +X bashcompinit && bashcompinit"] if zsh else []),
            "_receiver_completion() {",
            "  local word path='' words=''",
            '  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do',
            '    case "$word" in -*) break ;; esac',
            '    case "$path" in',
            "      '') path=\"$word\" ;;",
            f'      {groups}) path="$path $word" ;;',
            "      *) break ;;",
            "    esac",
            "  done",
            '  case "$path" in',
            *cases,
            "  esac",
            '  case "$path ${COMP_WORDS[COMP_CWORD-1]}" in',
            *values,
            "  esac",
            '  COMPREPLY=( $(compgen -W "$words" -- "${COMP_WORDS[COMP_CWORD]}") )',
            "}",
            # Where none of these fits, a file's name may.
            "complete -o default -F _receiver_completion receiver",
        ]
    )


def _has_commands(command: _Command, commands: list[_Command]) -> bool:
    return any(other.path.startswith(f"{command.path} ") for other in commands)


def _fish(commands: list[_Command]) -> str:
    lines = ["complete -c receiver -n __fish_use_subcommand -f"]
    for command in commands:
        condition = _fish_condition(command, commands)
        lines += [f"complete -c receiver -n '{condition}' -f -a {word}{_told(text)}" for word, text in command.words]
        lines += [
            f"complete -c receiver -n '{condition}' -l {name[2:]}{_followed(command, name)}{_told(text)}"
            for name, text in command.options
        ]
    return "\n".join(lines)


def _fish_condition(command: _Command, commands: list[_Command]) -> str:
    if not command.path:
        return "__fish_use_subcommand"
    seen = [f"__fish_seen_subcommand_from {word}" for word in command.path.split()]
    if _has_commands(command, commands):
        seen.append(f"not __fish_seen_subcommand_from {' '.join(word for word, _ in command.words)}")
    return "; and ".join(seen)


def _followed(command: _Command, name: str) -> str:
    words = command.values.get(name)
    return f" -x -a '{' '.join(words)}'" if words else ""


def _told(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f" -d '{escaped}'" if text else ""


def _first_line(text: str | None) -> str:
    return (text or "").strip().partition("\n")[0]
