"""The command: what it prints, stores and refuses, and the exit codes it ends with."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from folders import fill
from shell import COMMAND, environment, follow, run, session_of, start

from diskdict import DiskDict, Limits
from diskdict.cli import main

COMMANDS = [
    *("get", "set", "create", "del", "ttl", "expire", "info", "keys", "ls", "stats"),
    *("verify", "repair", "backup", "export", "import", "migrate", "serve", "completion"),
]

Dict = DiskDict[object, object]
Answer = Callable[..., tuple[int, str, str]]


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Answer:
    """Run the command in this process on the store `folder`; return exit code, stdout and stderr."""
    monkeypatch.setenv("DISKDICT_STORE", str(folder))

    def answer(*arguments: str, stdin: bytes = b"") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        try:
            code = main(arguments)
        except SystemExit as end:
            code = int(end.code or 0)
        said = capsys.readouterr()
        return code, said.out, said.err

    return answer


@pytest.fixture
def filled(folder: Path) -> Path:
    with Dict(folder) as d:
        d["apple"], d["text"], d["raw"] = {"n": [1, None]}, "naïve\nline", b"\x00\xff"
        d[1, "t"] = {2.5}
        d.set("short", 1, ttl=1000, metadata={"m": 1})
    return folder


def stored(folder: Path) -> dict[object, object]:
    with Dict(folder, readonly=True) as d:
        return dict(d)


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_shows_examples(command: str, here: Answer) -> None:
    """Each command says what it does and shows how."""
    code, out, err = here(*command.split(), "--help")

    assert (code, err) == (0, "")
    assert re.search(rf"\n  (.*\| |source <\()?diskdict {command}", out)


def test_help_of_the_whole_names_each_command(here: Answer) -> None:
    """Nothing is hidden, nothing else is offered."""
    assert re.findall(r"^    ([a-z]+) ", here("--help")[1], re.MULTILINE) == COMMANDS


# ---- one key


@pytest.mark.parametrize(
    ("key", "plain", "as_json"),
    [
        ("apple", b'{"n":[1,null]}\n', b'{"n":[1,null]}\n'),
        ("text", "naïve\nline\n".encode(), '"naïve\\nline"\n'.encode()),
        ("raw", b"\x00\xff", b'{"$bytes":"AP8="}\n'),
    ],
)
def test_get_prints_str_and_bytes_as_they_are_and_all_else_as_json(
    key: str, plain: bytes, as_json: bytes, filled: Path
) -> None:
    """With --json it is JSON whatever it is."""
    assert run("get", key, store=filled) == (0, plain, "")
    assert run("get", key, "--json", "--store", filled) == (0, as_json, "")
    assert run("--datastore", filled, "get", key, "--json") == (0, as_json, "")


@pytest.mark.parametrize(
    ("arguments", "stdin", "value"),
    [
        (["k", '{"a": [1, 2.5, null, "é"]}'], "", {"a": [1, 2.5, None, "é"]}),
        (["k"], "[1]\n", [1]),
        (["k", "-"], "true", True),
        (["k", "-5"], "", -5),
        (["k", '{"$tuple": [1, {"$bytes": "AP8="}]}'], "", (1, b"\x00\xff")),
        (["k", "--text", "a"], "", "a"),
        (["--text", "--", "k", "-a"], "", "-a"),
        (["k", "--text"], "a\n", "a\n"),
        (["k", "--raw", ""], "", b""),
        (["k", "--raw"], "a\n", b"a\n"),
    ],
)
def test_set_takes_json_text_and_bytes(
    arguments: list[str], stdin: str, value: object, here: Answer, folder: Path
) -> None:
    """From the argument or from stdin; options stand where they like."""
    assert here("set", *arguments, stdin=stdin.encode()) == (0, "", "")

    [found] = stored(folder).values()
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (b'{"a": 1,\n "b" 2}', "line 2, column 6"),
        (b"", "line 1, column 1"),
        (b"hello", "line 1, column 1"),
        (b"[1,]", "line 1, column 4"),
        (b"1 2", "line 1, column 3"),
        (b'["NaN\\"",\n -Infinity]', "line 2, column 2: -Infinity is not JSON"),
        (b"NaN", "line 1, column 1"),
        (b'"\n\xff"', "line 2, byte 1"),
        (b"[" * 100_000, "nests too deep"),
        (b"[" * 600 + b"]" * 600, ""),
        (b"9" * 10_000, "bad JSON"),
        (b'{"$tuple": 1}', "damaged tag"),
        (b'{"$set": [[]]}', "damaged tag"),
    ],
)
def test_bad_json_is_told_with_its_place_and_nothing_is_stored(
    bad: bytes, told: str, here: Answer, filled: Path
) -> None:
    """In one line, with exit code 2."""
    before = stored(filled)

    code, out, err = here("set", "apple", stdin=bad)

    assert (code, out, err.count("\n")) == (2, "", 1)
    assert told in err
    assert stored(filled) == before


def test_set_keeps_metadata_and_time_to_live(here: Answer, folder: Path) -> None:
    """Both come with the value; never is for ever."""
    here("set", "a", "1", "--ttl", "60", "--metadata", '{"n": 1}')
    here("set", "b", "1", "--ttl", "never")

    with Dict(folder) as d:
        assert 50 < (d.ttl("a") or 0) <= 60
        assert (d.info("a").metadata, d.ttl("b")) == ({"n": 1}, None)


def test_create_refuses_a_key_that_is_there(here: Answer, filled: Path) -> None:
    """With exit code 1, and the old value stays; a new key is stored."""
    assert here("create", "apple", "2") == (1, "", "diskdict: key 'apple' exists already\n")
    assert here("create", "new", "2", "--ttl", "5")[0] == 0
    assert (stored(filled)["apple"], stored(filled)["new"]) == ({"n": [1, None]}, 2)


def test_del_removes_what_is_there_and_names_what_is_not(here: Answer, filled: Path) -> None:
    """Exit code 1 where one of several was missing."""
    assert here("del", "apple", "none", "text", "--json") == (
        1,
        '{"apple":true,"none":false,"text":true}\n',
        "diskdict: no live key 'none'\n",
    )
    assert here("del", "raw") == (0, "", "")
    assert list(stored(filled)) == [(1, "t"), "short"]


def test_expire_and_ttl(here: Answer, filled: Path) -> None:
    """Seconds from now, or never."""
    assert here("ttl", "apple") == (0, "never\n", "")
    assert here("ttl", "apple", "--json") == (0, "null\n", "")
    assert here("expire", "apple", "60") == (0, "", "")
    assert 50 < float(here("ttl", "apple")[1]) <= 60
    assert here("expire", "apple", "never") == (0, "", "")
    assert here("ttl", "apple")[1] == "never\n"
    assert here("expire", "apple", "0") == (0, "", "")
    assert here("get", "apple")[0] == 1


def test_info_tells_times_metadata_and_file(here: Answer, filled: Path) -> None:
    """The same fields for eyes and as JSON."""
    fields = json.loads(here("info", "short", "--json")[1])

    assert (fields["size"], fields["metadata"]) == (1, {"m": 1})
    assert Path(fields["file"]).read_text() == "1"
    assert re.findall(r"^\w+", here("info", "short")[1], re.MULTILINE) == list(fields)
    assert "expires_at  never" in here("info", "apple")[1]


@pytest.mark.parametrize("command", ["get", "ttl", "info", "del", "expire"])
def test_a_missing_key_is_exit_code_1(command: str, here: Answer, filled: Path) -> None:
    """And the key is named."""
    assert here(command, "none", *["5"][: command == "expire"]) == (1, "", "diskdict: no live key 'none'\n")


@pytest.mark.parametrize("key", [42, 2**70, 1.5, True, None, b"by", "=x", (1, ("a,b", None)), "new\nline", "", "-k"])
def test_keys_of_all_types_are_typed_as_they_are_shown(key: object, here: Answer, folder: Path) -> None:
    """What `keys --json` shows is what --key-type typed takes, and the key comes back as it was."""
    with Dict(folder) as d:
        d[key] = "there"
    shown = json.loads(here("keys", "--json")[1])

    assert here("get", "--key-type", "typed", "--", shown) == (0, "there\n", "")
    assert here("del", "--key-type", "typed", "--", shown) == (0, "", "")
    assert here("set", "--key-type", "typed", "--", shown, "1") == (0, "", "")
    assert repr(list(stored(folder))) == repr([key])


# ---- all keys


def test_keys_are_shown_in_order_and_never_break_a_line(here: Answer, folder: Path) -> None:
    """Line breaks and what else moves the cursor are shown as Python writes them."""
    with Dict(folder) as d:
        d.update(dict.fromkeys(["b", "a", "new\nline", "\x1b[31m", "\ud800", 7]))

    assert here("keys") == (0, "b\na\nnew\\nline\n\\x1b[31m\n\\ud800\n=i7\n", "")
    assert here("keys", "--json", "?ew*")[1] == '"new\\nline"\n'
    assert here("keys", "--limit", "2", "--reverse")[1] == "=i7\n\\ud800\n"
    assert len(here("ls")[1].splitlines()) == 6


@pytest.mark.parametrize(
    ("glob", "found"),
    [
        ("*", "aA ab b [x] a.c"),
        ("a*", "aA ab a.c"),
        ("?", "b"),
        ("[a-b]?", "aA ab"),
        ("[!a]", "b"),
        ("[[]x]", "[x]"),
        ("A", ""),
    ],
)
def test_globs(glob: str, found: str, here: Answer, folder: Path) -> None:
    """They match the whole key, and case counts."""
    with Dict(folder) as d:
        d.update(dict.fromkeys(["aA", "ab", "b", "[x]", "a.c"]))

    assert here("keys", glob)[1].split() == found.split()


def test_no_glob_takes_for_ever(here: Answer, folder: Path) -> None:
    """A pattern of many stars over a long key is answered at once: the run's time limit is the test."""
    with Dict(folder) as d:
        d["a" * 20_000] = 1

    assert here("keys", "*a" * 60 + "*b") == (0, "", "")


def test_ls_has_columns(here: Answer, filled: Path) -> None:
    """Size, time-to-live, time of change, key; as JSON under names."""
    lines = [line.split() for line in here("ls")[1].splitlines()]
    objects = [json.loads(line) for line in here("ls", "--json")[1].splitlines()]

    assert [(line[0], line[-1]) for line in lines] == [
        ("14", "apple"),
        ("14", "text"),
        ("3", "raw"),
        ("14", "=(=i1,t,)"),
        ("1", "short"),
    ]
    assert [line[1] for line in lines[:4]] == ["never"] * 4
    assert re.fullmatch(r"\d+s", lines[4][1])
    assert [(each["key"], each["size"]) for each in objects] == [(line[-1], int(line[0])) for line in lines]
    assert 900 < objects[4]["ttl"] <= 1000


def test_stats(here: Answer, filled: Path) -> None:
    """The numbers of `DiskDict.stats`."""
    assert json.loads(here("stats", "--json")[1])["keys"] == 5
    assert re.search(r"^keys +5$", here("stats")[1], re.MULTILINE)


@pytest.mark.parametrize("number", [20_000, pytest.param(100_000, marks=pytest.mark.torture)])
def test_many_keys_end_quietly_on_a_closed_pipe(folder: Path, number: int) -> None:
    """`keys | head -1` prints one key, says nothing, and never held what it would have printed."""
    fill(folder, number)
    last = f"key.{number - 1:06}"
    limited = f"ulimit -v 400000; {' '.join(COMMAND)}"

    for command, first in (("keys", "key.000000"), ("keys --reverse", last), ("keys --json", '"key.000000"')):
        done = subprocess.run(
            ["bash", "-c", f"set -o pipefail; ({limited} {command}) | head -1"],
            env=environment(folder),
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, f"{first}\n", "")
    assert run("ls", f"{last[:-1]}[89]", store=folder).out.count(b"\n") == 2


# ---- the folder


def test_verify_ends_with_4_and_repair_sets_aside(here: Answer, filled: Path) -> None:
    """A line for each problem; reading such a key is exit code 4, too."""
    assert here("verify") == (0, "5 values checked, 0 problems found\n", "")
    with Dict(filled) as d:
        d.path_for("apple").write_bytes(b"")

    code, out, err = here("verify")
    assert (code, err) == (4, "")
    assert re.match(r"torn: data/../apple \(key apple\): it is empty\n5 values checked, 1 problems found\n", out)
    report = json.loads(here("verify", "--json")[1])
    assert (report["ok"], report["checked"], report["problems"][0]["key"]) == (False, 5, "apple")
    for command in ("get", "export"):
        code, _, err = here(command, *["apple"][: command == "get"])
        assert (code, err.count("\n")) == (4, 1)

    code, out, _ = here("repair")
    assert (code, "moved to quarantine" in out) == (0, True)
    assert here("verify")[0] == 0


def test_backup_is_a_store(here: Answer, filled: Path, tmp_path: Path) -> None:
    """To a new folder only."""
    code, out, _ = here("backup", str(tmp_path / "copy"), "--json")

    assert (code, json.loads(out)) == (0, {"files": 5})
    assert stored(tmp_path / "copy") == stored(filled)
    assert here("backup", str(tmp_path / "copy"))[0] == 2


# ---- refusals


@pytest.mark.parametrize("command", ["get k", "keys", "stats", "del k", "verify", "export", "backup t", "expire k 1"])
def test_no_store_is_exit_code_2_and_none_is_made(command: str, here: Answer, folder: Path) -> None:
    """Only set, create and import make one."""
    assert here(*command.split()) == (2, "", f"diskdict: {folder}: no store is here\n")
    assert not folder.exists()


def test_a_store_has_to_be_named() -> None:
    """By --store, or in the environment."""
    code, out, err = run("keys")

    assert (code, out) == (2, b"")
    assert "--store" in err
    assert "DISKDICT_STORE" in err


@pytest.mark.parametrize(
    "arguments",
    [
        "",
        "nonsense",
        "get",
        "get a b",
        "get a --nonsense",
        "set a 1 --ttl nan",
        "set a 1 --ttl -1",
        "set a 1 --ttl inf",
        "set a 1 --ttl ten",
        "set a 1 --metadata [1]",
        "set a 1 --metadata {",
        "set a --text --raw b",
        "expire a soon",
        "keys --limit -1",
        "get =nonsense --key-type typed",
        "get =[1] --key-type typed",
        "completion tcsh",
        "import --on-conflict maybe",
        "migrate one",
        "set a 1 --codec yaml",
        "get a --codec raw",
    ],
)
def test_wrong_use_is_exit_code_2(arguments: str, here: Answer, filled: Path) -> None:
    """One line on stderr, nothing on stdout, nothing changed."""
    before = stored(filled)

    code, out, err = here(*arguments.split())

    assert (code, out) == (2, "")
    assert re.fullmatch(r"diskdict: .+\n", err)
    assert stored(filled) == before


def test_a_folder_or_file_that_is_no_store_is_refused(here: Answer, folder: Path) -> None:
    """And left alone, whatever the command."""
    folder.mkdir()
    (folder / "mine").write_text("mine")
    for command in ("keys", "set a 1"):
        code, _, err = here(*command.split())
        assert (code, err.count("\n")) == (2, 1)
    assert os.listdir(folder) == ["mine"]
    code, _, err = here("keys", "--store", str(folder / "mine"))
    assert (code, err.count("\n")) == (2, 1)


def test_a_store_of_another_kind_or_codec_is_refused(here: Answer, folder: Path) -> None:
    """A codec is named by --codec; a pickle is never read without."""
    with Dict(folder, codec="pickle") as d:
        d["a"] = [1]

    code, _, err = here("get", "a")
    assert (code, "--codec" in err) == (2, True)
    assert here("get", "a", "--codec", "pickle") == (0, "[1]\n", "")
    manifest = folder / "diskdict.json"
    manifest.write_text(manifest.read_text().replace('"dict"', '"queue"'))
    assert here("get", "a", "--codec", "pickle")[0] == 2


def test_a_limit_is_told(here: Answer, folder: Path) -> None:
    """With the limit and what was met."""
    with Dict(folder, limits=Limits(value_bytes=10)):
        pass

    assert here("set", "a", "--text", "x" * 20) == (2, "", "diskdict: value_bytes allows 10 bytes, this would be 22\n")


def test_arguments_that_are_not_utf8_are_refused(filled: Path) -> None:
    """Keys, globs and JSON are text."""
    for arguments in ([b"get", b"\xff"], [b"keys", b"\xff*"], [b"set", b"a", b'"\xff"'], [b"set", b"\xff", b"1"]):
        code, out, err = run(*arguments, store=filled)
        assert (code, out, err.count("\n")) == (2, b"", 1)
        assert "UTF-8" in err
    assert run(b"set", b"bytes", b"--raw", b"\xff", store=filled).code == 0
    assert stored(filled)["bytes"] == b"\xff"


def test_a_huge_value_goes_in_and_out(folder: Path) -> None:
    """As bytes through stdin and stdout."""
    huge = os.urandom(1 << 20) * 16

    assert run("set", "huge", "--raw", store=folder, stdin=huge) == (0, b"", "")
    assert run("get", "huge", store=folder).out == huge


def test_a_store_in_use_is_exit_code_3_and_the_holder_is_named(filled: Path, tmp_path: Path) -> None:
    """For who reads and who writes; --timeout waits. Readers do not keep readers out."""
    with Dict(filled):
        for command in (["get", "apple"], ["set", "a", "1"], ["verify"], ["backup", tmp_path / "b"], ["export"]):
            code, out, err = run(*command, store=filled)
            assert (code, out, err.count("\n")) == (3, b"", 1)
            assert f"process {os.getpid()}" in err or f"pid {os.getpid()}" in err
    with Dict(filled, readonly=True):
        assert run("get", "text", "--timeout", "0.1", store=filled).code == 0
        assert run("set", "a", "1", "--timeout", "0.1", store=filled).code == 3


def test_a_full_disk_behind_stdout_is_told(filled: Path) -> None:
    """No traceback, exit code 2."""
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*COMMAND, "keys"], env=environment(filled), stdout=full, stderr=subprocess.PIPE, timeout=100, check=False
        )

    assert done.returncode == 2
    assert re.fullmatch(rb"diskdict: [^\n]+\n", done.stderr)


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-"])
def test_a_closed_stream_is_no_traceback(closed: str, filled: Path) -> None:
    """Exit code 2 where there is something to say and nowhere to say it."""
    done = subprocess.run(
        ["bash", "-c", f"{' '.join(COMMAND)} get {'none' if '2' in closed else 'apple'} {closed}"],
        env=environment(filled),
        capture_output=True,
        timeout=100,
        check=False,
    )

    assert done.returncode == {">&-": 2, "2>&-": 1, "<&-": 0}[closed]
    assert done.stderr == {">&-": b"diskdict: stdout is closed\n"}.get(closed, b"")


def test_ctrl_c_ends_without_a_traceback(folder: Path) -> None:
    """With the code shells know, and the store opens."""
    with start("import", store=folder, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdin is not None
        child.stdin.write(b'{"format":"diskdict-lines","version":1}\n')
        child.stdin.flush()
        while not (folder / "diskdict.json").exists():
            time.sleep(0.01)
        child.send_signal(signal.SIGINT)
        err = child.communicate(timeout=60)[1]

    assert (child.returncode, err) == (130, b"diskdict: interrupted\n")
    assert stored(folder) == {}


# ---- for eyes


def on_a_terminal(command: list[str], **variables: str) -> str:
    """Return what a command says to a terminal."""
    ours, its = pty.openpty()
    child = subprocess.Popen(command, env=environment(**variables), stdout=its, stderr=its, stdin=its)
    os.close(its)
    said = b""
    try:
        while some := os.read(ours, 65536):
            said += some
    except OSError:  # Linux says so at the end
        pass
    os.close(ours)
    child.wait(60)
    return said.decode()


def test_colours_and_bars_are_for_terminals(filled: Path, tmp_path: Path) -> None:
    """Piped there is neither; on a terminal NO_COLOR takes the colours away."""
    colour = re.compile(r"\x1b\[[0-9;]*[34][0-9;]*m")
    verify = [*COMMAND, "verify", "--store", str(filled)]
    wrong = [*COMMAND, "get", "none", "--store", str(filled)]

    assert "\x1b" not in run("verify", store=filled).err + run("get", "none", store=filled).err
    drawn = on_a_terminal(verify, TERM="xterm-256color")
    assert "verifying" in drawn
    assert "/s" in drawn
    assert colour.search(drawn)
    assert colour.search(on_a_terminal(wrong, TERM="xterm-256color"))
    for command in (verify, wrong):
        assert not colour.search(on_a_terminal(command, TERM="xterm-256color", NO_COLOR="1"))


def test_nothing_but_the_standard_library_is_loaded_for_one_key(filled: Path) -> None:
    """Neither rich nor what only an import needs; and the package by itself does not load argparse."""
    code = "import sys, diskdict; print('argparse' in sys.modules); from diskdict.cli import main; main(['keys'])"
    code += "; print(sorted({'rich', 'sqlite3', 'dbm', 'pickle', 'platformdirs'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(filled), capture_output=True, text=True, timeout=100, check=False
    )

    assert done.stdout.splitlines()[0] == "False"
    assert done.stdout.splitlines()[-1] == "[]"


# ---- completion


def test_bash_completes(here: Answer, tmp_path: Path) -> None:
    """Commands, the options of a command, and what an option may be."""
    script = tmp_path / "completion"
    script.write_text(here("completion", "bash")[1])

    def completed(*words: str) -> list[str]:
        typed = f"COMP_WORDS=({' '.join(map(repr, words))}); COMP_CWORD={len(words) - 1}"
        code = f'. {script}; {typed}; _diskdict; echo "${{COMPREPLY[*]}}"'
        done = subprocess.run(["bash", "-euc", code], capture_output=True, text=True, check=True, timeout=60)
        return done.stdout.split()

    assert completed("diskdict", "") == [*COMMANDS, "--store", "--help"]
    assert completed("diskdict", "ex") == ["expire", "export"]
    assert completed("diskdict", "--store", "x", "set", "k", "--t") == ["--timeout", "--text", "--ttl"]
    assert completed("diskdict", "import", "--from", "s") == ["shelve", "sqlitedict"]
    assert completed("diskdict", "completion", "z") == ["zsh"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_completion_knows_all_commands_and_options(shell: str, here: Answer) -> None:
    """They are made from the parsers, so that none is forgotten."""
    code, out, err = here("completion", shell)

    assert (code, err) == (0, "")
    for word in (*COMMANDS, "on-conflict", "overwrite", "allow-pickle", "key-type"):
        assert re.search(rf"\b{word}\b", out)


def test_readme_session_at_a_shell(tmp_path: Path) -> None:
    """Each command of the README's session answers as it says there."""
    steps = session_of("At a shell")
    variables = {}

    for command, expected in steps:
        if command.startswith("export "):
            variables.update([command.removeprefix("export ").split("=")])
        else:
            follow(command, expected, tmp_path, **variables)
    assert len(steps) > 5
