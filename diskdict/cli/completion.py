"""The command completion: a script for bash, zsh or fish, made from the parsers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

from diskdict.cli import printing
from diskdict.cli.failures import FINE
from diskdict.cli.parsing import Commands, Options


class _Command(NamedTuple):
    name: str
    about: str
    words: list[str]


class _Words(NamedTuple):
    """What there is to complete: the commands, and what follows an option that has choices."""

    commands: list[_Command]
    choices: dict[str, list[str]]

    @property
    def names(self) -> list[str]:
        return [command.name for command in self.commands]


def add(commands: Commands) -> None:
    """Add the command; those that were added before are completed."""
    parser = commands.add(
        "completion", partial(completion, commands), "print a script that completes commands", _EXAMPLES, of_store=False
    )
    parser.add_argument("shell", choices=tuple(_SCRIPTS))


def completion(commands: Commands, options: Options) -> int:
    """Print the script."""
    printing.line(_SCRIPTS[options.shell](_words(commands)))
    return FINE


def _words(commands: Commands) -> _Words:
    found = _Words([], {})
    for name, about, parser in commands.all():
        words: list[str] = []
        for action in parser._actions:
            flags = [flag for flag in action.option_strings if flag.startswith("--")]
            choices = [str(choice) for choice in action.choices or ()]
            words += flags or choices
            found.choices.update({flag: choices for flag in flags if choices})
        found.commands.append(_Command(name, about, words))
    return found


_BASH: Final = """\
_diskdict() {{
    local current="${{COMP_WORDS[COMP_CWORD]}}" before="${{COMP_WORDS[COMP_CWORD-1]}}" command= word
    for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        case "$word" in {names}) command="$word"; break ;; esac
    done
    case "$before" in
        --store|--datastore) return ;;
{choices}
    esac
    case "$command" in
{commands}
    esac
}}
complete -o default -F _diskdict diskdict"""

_ZSH: Final = """\
#compdef diskdict
_diskdict() {{
    local command word
    for word in "${{(@)words[2,CURRENT-1]}}"; do
        case "$word" in {names}) command="$word"; break ;; esac
    done
    case "${{words[CURRENT-1]}}" in
        --store|--datastore) _files -/; return ;;
{choices}
    esac
    case "$command" in
{commands}
    esac
    [[ -z "$command" ]] || _files
}}
compdef _diskdict diskdict"""


def _by_cases(script: str, offer: str, words: _Words) -> str:
    """Return a script for bash or zsh; `offer` is how such a shell is given words."""
    cases = {"''": [*words.names, "--store", "--help"]} | {each.name: each.words for each in words.commands}
    return script.format(
        names="|".join(words.names),
        choices="\n".join(
            f"        {flag}) {offer.format(' '.join(of))}; return ;;" for flag, of in words.choices.items()
        ),
        commands="\n".join(f"        {name}) {offer.format(' '.join(of))} ;;" for name, of in cases.items()),
    )


def _fish(words: _Words) -> str:
    lines = ["complete -c diskdict -n __fish_use_subcommand -l store -r"]
    for name, about, offered in words.commands:
        lines.append(f"complete -c diskdict -n __fish_use_subcommand -f -a {name} -d '{about}'")
        seen = f"complete -c diskdict -n '__fish_seen_subcommand_from {name}'"
        for word in offered:
            if word in words.choices:
                lines.append(f"{seen} -l {word[2:]} -x -a '{' '.join(words.choices[word])}'")
            else:
                lines.append(f"{seen} -l {word[2:]}" if word.startswith("--") else f"{seen} -a {word}")
    return "\n".join(lines)


_SCRIPTS: Final[dict[str, Callable[[_Words], str]]] = {
    "bash": partial(_by_cases, _BASH, 'COMPREPLY=($(compgen -W "{}" -- "$current"))'),
    "zsh": partial(_by_cases, _ZSH, "compadd -- {}"),
    "fish": _fish,
}
_EXAMPLES: Final = """\
source <(diskdict completion bash)          in ~/.bashrc
source <(diskdict completion zsh)           in ~/.zshrc, after compinit
diskdict completion fish | source           in ~/.config/fish/config.fish"""
