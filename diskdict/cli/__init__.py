"""The command ``diskdict``: `main`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from diskdict.cli import care, completion, listing, moving, serving, single, transfer
from diskdict.cli.failures import FINE, INTERRUPTED, USAGE, code_of, sentence_of, tell
from diskdict.cli.parsing import Commands


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, that of the process unless given, and return its exit code; see `diskdict.cli.failures`.

    SystemExit with such a code where ``--help`` was asked for or the arguments are wrong.
    """
    if not sys.stdout:
        # What is opened now would get the number of stdout.
        tell("stdout is closed")
        return USAGE
    try:
        try:
            return _run(arguments)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # Who reads has had enough.
        code = FINE
    except OSError as error:
        tell(f"stdout: {sentence_of(error)}")
        code = USAGE
    # What is still buffered would be tried again at exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def _run(arguments: Sequence[str] | None) -> int:
    try:
        options = _commands().parser.parse_args(arguments)
        code: int = options.run(options)
    except BrokenPipeError:
        raise
    except KeyboardInterrupt:
        tell("interrupted")
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001  # nobody at a shell wants a traceback
        tell(sentence_of(error))
        return code_of(error)
    return code


def _commands() -> Commands:
    commands = Commands()
    single.add(commands)
    listing.add(commands)
    care.add(commands)
    transfer.add(commands)
    moving.add(commands)
    serving.add(commands)
    completion.add(commands)
    return commands
