"""Commands about the folder as a whole: verify, repair, backup."""

from __future__ import annotations

from diskdict import Report, StoreLockedError, keys
from diskdict.cli import printing
from diskdict.cli.access import to_keep
from diskdict.cli.failures import DAMAGED, FINE
from diskdict.cli.parsing import Commands, Options, add_json
from diskdict.cli.screen import bar, visible
from diskdict.jsontext import written


def add(commands: Commands) -> None:
    """Add the commands."""
    parser = commands.add("verify", verify, "read every file and say which are not as they were written", _VERIFY)
    add_json(parser)
    parser = commands.add("repair", repair, "set damaged files aside and set right what is not damaged", _REPAIR)
    add_json(parser)
    parser = commands.add("backup", backup, "copy the store to a folder that is new or empty", _BACKUP)
    parser.add_argument("target", metavar="TARGET")
    add_json(parser)


def verify(options: Options) -> int:
    """Print what is wrong; DAMAGED where something is."""
    with to_keep(options) as d, bar("verifying", "folders") as told:
        report = d.verify(progress=told)
    _print(options, report)
    return FINE if report.ok else DAMAGED


def repair(options: Options) -> int:
    """Print what was done."""
    with to_keep(options) as d, bar("looking", "folders") as told:
        report = d.repair(progress=told)
    _print(options, report)
    return FINE


def _print(options: Options, report: Report) -> None:
    if options.json:
        problems = [
            each._asdict() | {"key": None if each.key is None else keys.spelled(each.key)} for each in report.problems
        ]
        printing.line(written({"checked": report.checked, "ok": report.ok, "problems": problems}))
        return
    for each in report.problems:
        of = "" if each.key is None else f" (key {keys.spelled(each.key)})"
        done = f": {each.action}" if each.action else ""
        printing.line(visible(f"{each.problem}: {each.path}{of}: {each.detail}{done}"))
    printing.line(f"{report.checked} values checked, {len(report.problems)} problems found")


def backup(options: Options) -> int:
    """Copy the store."""
    try:
        with to_keep(options) as d, bar("copying", "folders") as told:
            files = d.backup(options.target, progress=told)
    except StoreLockedError as error:
        error.add_note("a server that has it copies it on POST /v1/backup")
        raise
    printing.answer({"files": files}, as_json=options.json)
    return FINE


_VERIFY = """\
diskdict verify && echo "all is well"
diskdict verify --json | jq '.problems[].path'
It ends with 4 when something was found."""
_REPAIR = """\
diskdict repair
Nothing is deleted: what is damaged goes to the folder "quarantine" in the store."""
_BACKUP = """\
diskdict backup /backups/inventory.monday
The copy is a store of its own. Where another process has the store, this ends with 3; a server is asked for a copy:
curl -X POST localhost:8765/v1/backup --json '{"name": "monday"}'"""
