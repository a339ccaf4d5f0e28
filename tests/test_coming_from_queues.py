"""Each row of the README's table of other queues is executed, both sides of it, and shows what it says."""

from __future__ import annotations

import queue
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import diskcache
import iodict
import persistqueue
import pytest

import diskdict
from diskdict import DurableQueue

README = Path(__file__).parent.parent / "README.rst"
TABLE = README.read_text(encoding="utf-8").partition("\nComing from other queues\n")[2].partition("\n\n\n")[0]
ROW = re.compile(r"   \* - (.+)\n     - ``(.+)``\n     - ``(.+)``\n     - .+")
ROWS: list[tuple[str, str, str]] = ROW.findall(TABLE)
ITEM = {"a": [1]}


class Sides(NamedTuple):
    """What the code of both sides may use and has made, and what it has returned or raised."""

    there: dict[str, Any]
    here: dict[str, Any]
    left: Any
    right: Any

    @property
    def queues(self) -> tuple[Any, Any]:
        return self.there["q"], self.here["q"]


Check = Callable[[Sides], None]
CHECKS: dict[str, Check] = {}


def row(there: str) -> Callable[[Check], Check]:
    """Register what has to hold after the row whose left side is `there` was executed."""

    def register(check: Check) -> Check:
        CHECKS[there] = check
        return check

    return register


@row("q = queue.Queue(maxsize=10)")
def in_memory(sides: Sides) -> None:
    for q in sides.queues:
        assert isinstance(q, queue.Queue)
        assert q.maxsize == 10
    sides.here["q"].put(ITEM)
    assert reopened(sides).get() == ITEM


@row("q.get() is item")
def another_object(sides: Sides) -> None:
    assert (sides.left, sides.right) == (True, True)


@row("q = persistqueue.Queue(path, autosave=True)")
def removed_on_get(sides: Sides) -> None:
    for q in sides.queues:
        q.put(ITEM)
        q.put("last")
        assert q.get() == ITEM
    assert saved(sides, autosave=True).get() == reopened(sides).get() == "last"


@row("q = persistqueue.Queue(path)")
def kept_on_get(sides: Sides) -> None:
    for q in sides.queues:
        q.put(ITEM)
        q.get()
    assert saved(sides).get() == ITEM
    assert reopened(sides, visibility=60).get().value == ITEM


@row("q.task_done()")
def acknowledged_together(sides: Sides) -> None:
    assert sides.left is None
    assert sides.right is True


@row("q = persistqueue.SQLiteAckQueue(path)")
def with_acknowledgement(sides: Sides) -> None:
    there, here = sides.queues
    there.put(ITEM)
    here.put(ITEM)
    assert there.get() == here.get().value == ITEM


@row("q.ack(item)")
def acknowledged(sides: Sides) -> None:
    there, here = sides.queues
    assert there.acked_count() == 1
    assert sides.right is True
    assert here.counts() == (0, 0, 0, 0)


@row("q.nack(item)")
def given_back(sides: Sides) -> None:
    there, here = sides.queues
    assert there.get() == ITEM
    assert sides.right is True
    assert here.counts() == (0, 1, 0, 0)


@row("q.ack_failed(item)")
def given_up(sides: Sides) -> None:
    there, here = sides.queues
    assert there.ack_failed_count() == 1
    delivery = sides.here["delivery"]
    while here.nack(delivery) and not here.dead_letters:
        delivery = here.get()
    assert [letter.value() for letter in here.dead_letters.values()] == [ITEM]


@row("q = iodict.DurableQueue(path)")
def pickled(sides: Sides) -> None:
    for q in sides.queues:
        q.put(ITEM)
    assert b'{"a":[1]}' in b"".join(path.read_bytes() for path in Path(sides.here["path"]).rglob("*.items"))
    assert sides.there["q"].get() == sides.here["q"].get() == ITEM
    with pytest.raises(diskdict.StoreLockedError):
        DurableQueue(sides.here["path"])


@row("q.close()")
def closed(sides: Sides) -> None:
    assert not Path(sides.there["path"]).exists()
    assert reopened(sides).get() == ITEM


@row("q = diskcache.Deque(directory=path)")
def at_both_ends(sides: Sides) -> None:
    there, here = sides.queues
    there.append(ITEM)
    here.put(ITEM)
    assert there.popleft() == here.get() == ITEM


@row("q.append(item)")
def appended(sides: Sides) -> None:
    there, here = sides.queues
    assert list(there) == list(here) == [ITEM, ITEM]


@row("q.popleft()")
def popped(sides: Sides) -> None:
    there, here = sides.queues
    assert sides.left == sides.right == ITEM
    with pytest.raises(IndexError):
        there.popleft()
    with pytest.raises(queue.Empty):
        here.get_nowait()


@row("q.peekleft()")
def peeked(sides: Sides) -> None:
    assert sides.left == sides.right == ITEM
    assert [len(sides.there["q"]), sides.here["q"].qsize()] == [1, 1]


@row("q = diskcache.Deque(directory=path, maxlen=2)")
def bounded(sides: Sides) -> None:
    there, here = sides.queues
    for number in range(2):
        there.append(number)
        here.put(number)
    there.append(2)
    with pytest.raises(queue.Full):
        here.put_nowait(2)
    assert (list(there), list(here)) == ([1, 2], [0, 1])


def reopened(sides: Sides, **options: Any) -> DurableQueue[Any, Any]:
    """Close ours and open it again."""
    sides.here["q"].close()
    sides.here["q"] = DurableQueue(sides.here["path"], **options)
    return sides.here["q"]


def saved(sides: Sides, **options: Any) -> persistqueue.Queue:
    """Open the other one again as it is on disk, which is what a kill leaves."""
    sides.there["q"] = persistqueue.Queue(sides.there["path"], **options)
    return sides.there["q"]


def prepared(origin: str, code: str, path: str) -> dict[str, Any]:
    """Return the other queue of a row that opens none, with an item that is got if it is to be acknowledged."""
    q: Any
    if origin == "diskcache.Deque":
        q = diskcache.Deque([ITEM], directory=path)
    else:
        kinds = {"queue.Queue": lambda _: queue.Queue(), "iodict.DurableQueue": iodict.DurableQueue}
        kinds["persist-queue"] = persistqueue.Queue if code == "q.task_done()" else persistqueue.SQLiteAckQueue
        q = kinds[origin](path)
        q.put(ITEM)
    return {"q": q, "item": q.get() if origin == "persist-queue" else ITEM}


def evaluated(code: str, names: dict[str, Any]) -> Any:
    """Execute one side of a row and return its value."""
    if code.startswith("q = "):
        exec(code, names)
        return None
    return eval(code, names)


@pytest.fixture
def cells(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Sides]]:
    """The two sides of a row, both done."""
    origin, left, right = request.param
    there: dict[str, Any] = {"path": str(tmp_path / "there"), "item": ITEM}
    here: dict[str, Any] = {"path": str(tmp_path / "here"), "item": ITEM, "DurableQueue": DurableQueue}
    there |= {"queue": queue, "persistqueue": persistqueue, "iodict": iodict, "diskcache": diskcache}
    if not left.startswith("q = "):
        there |= prepared(origin, left, there["path"])
        terms = {"visibility": 60, "max_deliveries": 3} if origin == "persist-queue" else {}
        here["q"] = DurableQueue(here["path"], **terms)
        here["q"].put(ITEM)
        here["delivery"] = here["q"].get() if terms else None
    yield left, Sides(there, here, evaluated(left, there), evaluated(right, here))
    here["q"].close()
    if isinstance(there["q"], persistqueue.SQLiteAckQueue):
        there["q"].close()
    elif isinstance(there["q"], diskcache.Deque):
        there["q"].cache.close()
    there.clear()  # the other two close when nobody has them any longer


@pytest.mark.parametrize("cells", ROWS, ids=lambda cells: cells[1], indirect=True)
def test_a_row_does_what_it_says(cells: tuple[str, Sides]) -> None:
    """Both sides of a row run, and differ as its last column says."""
    left, sides = cells

    CHECKS[left](sides)


def test_every_row_is_checked() -> None:
    """The table and the checks are the same set, and none was lost in parsing."""
    assert {there for _, there, _ in ROWS} == set(CHECKS)
    assert len(ROWS) == TABLE.count("   * - ") - 1
