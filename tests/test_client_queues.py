"""Queues of a server through `Client`: as those in a folder of one's own, for any number of processes."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from attacks import wait_until
from clocks import Clock
from crew import Actor, Crew
from scripted import said, scripted
from serving import served_here, started

import diskdict.remote
from diskdict import ClosedError, CorruptValueError, FormatError, InvalidValueError
from diskdict.client import Client
from diskdict.queues.durable import DurableLifoQueue, DurablePriorityQueue, DurableQueue
from diskdict.queues.given import Counts, Delivery
from diskdict.remote import RemoteQueue
from diskdict.server import ServedDict, Settings

Remote = RemoteQueue[Any]
Queue = Remote | DurableQueue[Any, Delivery[Any]]
Make = Callable[..., Any]
KINDS = {"fifo": DurableQueue, "lifo": DurableLifoQueue, "priority": DurablePriorityQueue}


@pytest.fixture
def url(folder: Path, clock: Clock) -> Iterator[str]:
    """A server in this process, on the clock of the test."""
    with ServedDict(folder, clock=clock) as store, served_here(store) as url:
        yield url


@pytest.fixture
def client(url: str) -> Iterator[Client[Any, Any]]:
    with Client[Any, Any](url) as client:
        yield client


@pytest.fixture
def jobs(client: Client[Any, Any]) -> Remote:
    """A queue of the server."""
    return client.queue("jobs")


@pytest.fixture(params=["in a folder", "of a server"])
def make(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[Make]:
    """Makes a queue with options, here or there: both are to be the same."""
    with ExitStack() as stack:

        def here(kind: str = "fifo", maxsize: int = 0, **options: Any) -> Queue:
            made = KINDS[kind](tmp_path / "q", maxsize, **{"visibility": 60, "clock": clock, **options})
            return stack.enter_context(made)

        def there(**options: Any) -> Queue:
            client: Client[Any, Any] = request.getfixturevalue("client")
            return client.queue("q", **options)

        yield here if request.param == "in a folder" else there


@pytest.fixture
def q(make: Make) -> Any:
    return make()


# ---- as a queue in a folder


@pytest.mark.parametrize(
    "value", [None, "é\n", 10**30, {"a": (1, {2})}, b"\x89PNG", b'"', float("inf"), [timedelta(1)]]
)
def test_values(q: Any, clock: Clock, value: object) -> None:
    """What is got is equal to what was put and of the same type, in a delivery that says when and how often."""
    q.put(value)
    assert q.peek() == value

    delivery = q.get()

    assert type(delivery) is Delivery
    assert (delivery.value, type(delivery.value)) == (value, type(value))
    assert (delivery.deliveries, delivery.put_time) == (1, clock.now)
    assert q.ack(delivery) is True
    assert q.ack(delivery) is False


@pytest.mark.parametrize(
    ("kind", "order"), [("fifo", [(2,), (1,), (3,)]), ("lifo", [(3,), (1,), (2,)]), ("priority", [(1,), (2,), (3,)])]
)
def test_orders(make: Make, kind: str, order: list[object]) -> None:
    """First in first out, last in first out, the smallest first; several at once as one by one."""
    q = make(kind=kind)
    q.put_many([(2,), (1,), (3,)])

    assert [each.value for each in [*q.get_many(2), *q.get_many(5)]] == order


def test_nothing_there(q: Any) -> None:
    """Who does not wait, or not any longer, gets queue.Empty."""
    for get in (q.get_nowait, q.peek, lambda: q.get(False), lambda: q.get(timeout=0.05), lambda: q.get_many(2, False)):
        with pytest.raises(queue.Empty):
            get()
    with pytest.raises(ValueError, match="timeout"):
        q.get(timeout=-1)
    assert (q.qsize(), q.empty(), q.full(), q.counts()) == (0, True, False, Counts(0, 0, 0, 0))


def test_no_room(make: Make) -> None:
    """Who does not wait for room, or not any longer, gets queue.Full; more than can ever fit is a ValueError."""
    q = make(maxsize=2)
    q.put_many([1, 2])

    for put in (lambda: q.put_nowait(3), lambda: q.put(3, timeout=0.05), lambda: q.put_many([3, 4], block=False)):
        with pytest.raises(queue.Full):
            put()
    with pytest.raises(ValueError, match="at most 2"):
        q.put_many([1, 2, 3])
    with pytest.raises(ValueError, match="timeout"):
        q.put(1, timeout=-1)
    assert (q.maxsize, q.full(), q.qsize()) == (2, True, 2)
    q.get()
    assert not q.full()


def test_threads_that_wait(make: Make) -> None:
    """Who waits for an item gets it from another thread, and who waits for room."""
    q = make(maxsize=1)
    with ThreadPoolExecutor(2) as pool:
        got = pool.submit(q.get)
        q.put("first")
        assert got.result().value == "first"
        q.put("second")
        put = pool.submit(q.put, "third")
        assert q.get().value == "second"
        put.result()
    assert q.get().value == "third"


def test_delay(q: Any, clock: Clock) -> None:
    """Seconds or a timedelta after which an item can be had."""
    q.put("a", delay=10)
    q.put_many(["b"], delay=timedelta(seconds=5))
    assert q.counts() == Counts(0, 2, 0, 0)

    clock.tick(5)
    assert q.get_nowait().value == "b"
    clock.tick(5)
    assert q.get_nowait().value == "a"
    with pytest.raises(ValueError, match="-1"):
        q.put("c", delay=-1)


def test_dedupe_key(q: Any) -> None:
    """Nothing happens while an item with that key is there."""
    for value in (1, 2):
        q.put(value, dedupe_key="k")
    delivery = q.get_nowait()
    q.put(3, dedupe_key="k")

    assert delivery.value == 1
    assert q.empty()
    q.ack(delivery)
    q.put(4, dedupe_key="k")
    assert q.get_nowait().value == 4


def test_visibility(q: Any, clock: Clock) -> None:
    """What nobody acknowledges comes back, and is acknowledged by who has got it last; extend puts that off."""
    q.put("job")
    first = q.get()
    clock.tick(59)
    assert q.extend(first) is True
    clock.tick(59)
    assert q.extend(first, timedelta(seconds=1)) is True
    clock.tick(1)

    second = q.get_nowait()

    assert second == first._replace(deliveries=2)
    assert (q.ack(first), q.nack(first), q.extend(first)) == (False, False, False)
    assert q.ack(second) is True


def test_giving_back(q: Any, clock: Clock) -> None:
    """At once or after a delay, to its place."""
    q.put_many(["a", "b"])
    assert q.nack(q.get()) is True
    delivery = q.get()
    assert (delivery.value, delivery.deliveries) == ("a", 2)
    assert q.nack(delivery, delay=3) is True

    assert q.get_nowait().value == "b"
    clock.tick(3)
    assert q.get_nowait().value == "a"


def test_processing(q: Any) -> None:
    """The end of the block acknowledges, what it raises gives back."""
    q.put("job")
    with pytest.raises(ZeroDivisionError), q.processing() as delivery:
        raise ZeroDivisionError
    assert q.counts() == Counts(1, 0, 0, 0)

    with q.processing() as again:
        assert again == delivery._replace(deliveries=2)

    assert q.counts() == Counts(0, 0, 0, 0)
    with pytest.raises(queue.Empty), q.processing(block=False):
        pass


def test_clear(q: Any) -> None:
    """It removes all items and says how many."""
    q.put_many([1, 2, 3])
    q.get()

    assert q.clear() == 3
    assert q.counts() == Counts(0, 0, 0, 0)


def test_dead_letters(make: Make, clock: Clock) -> None:
    """They are a mapping; each tells what it was and why, is removed or put anew."""
    q = make(max_deliveries=1)
    q.put_many(["a", ("b",), "c"])
    for delivery in q.get_many(3):
        q.nack(delivery)
    letters = q.dead_letters
    first, second, third = letters

    assert len(letters) == 3
    letter = letters[second]
    assert (letter.id, letter.value(), letter.payload) == (second, ("b",), b'{"$tuple":["b"]}')
    assert (letter.deliveries, letter.put_time, bool(letter.reason)) == (1, clock.now, True)
    assert first in letters
    assert third + 1 not in letters
    new = letters.requeue(second)
    assert q.get() == Delivery(("b",), new, 1, clock.now)
    del letters[first]
    for act in (letters.__getitem__, letters.__delitem__, letters.requeue):
        with pytest.raises(KeyError):
            act(first)
    assert letters.requeue_all() == 1
    assert q.get().value == "c"
    assert letters.clear() == 0


def test_dead_letters_removed(make: Make) -> None:
    """All of them at once."""
    q = make(max_deliveries=1)
    q.put_many([1, 2])
    for delivery in q.get_many(2):
        q.nack(delivery)

    assert q.dead_letters.clear() == 2
    assert dict(q.dead_letters) == {}


@pytest.mark.parametrize("value", [object(), {1: {2}, "x": lambda: None}])
def test_values_that_are_none(q: Any, value: object) -> None:
    """What would not come back as it was is refused, one or among several, and nothing is put."""
    with pytest.raises(InvalidValueError):
        q.put(value)
    with pytest.raises(InvalidValueError):
        q.put_many([1, value])
    assert q.empty()


def test_what_cannot_be_compared(make: Make) -> None:
    """A TypeError, and nothing is put."""
    q = make(kind="priority")
    q.put(1)

    with pytest.raises(TypeError):
        q.put("a")
    assert q.counts() == Counts(1, 0, 0, 0)


# ---- what is of a server alone


def test_queue_that_nobody_made(client: Client[Any, Any], jobs: Remote) -> None:
    """To ask makes nothing; the first put does, and destroy ends it for all."""
    assert (jobs.counts(), jobs.maxsize, len(jobs.dead_letters), list(jobs.dead_letters)) == (
        Counts(0, 0, 0, 0),
        0,
        0,
        [],
    )
    jobs.destroy()

    jobs.put(1)
    assert client.queue("jobs").qsize() == 1
    jobs.destroy()
    assert client.queue("jobs").empty()


def test_settings(client: Client[Any, Any]) -> None:
    """They are given once, the same again is fine, and others are a FormatError that names both."""
    client.queue("jobs", kind="lifo", visibility=timedelta(minutes=5), maxsize=9, max_deliveries=2)

    assert client.queue("jobs", kind="lifo", visibility=300).maxsize == 9
    with pytest.raises(FormatError, match=r"lifo.*fifo"):
        client.queue("jobs", kind="fifo")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", ".a", "ä", "x" * 101, "a?b"])
def test_names_that_are_none(client: Client[Any, Any], name: str) -> None:
    """They are refused before anybody is asked."""
    with pytest.raises(ValueError, match="a name of a queue is"):
        client.queue(name)


@pytest.mark.parametrize("codec", ["pickle", "raw"])
def test_other_codecs(url: str, codec: str) -> None:
    """Their bytes travel as bytes, from client to client, and as dead letters."""
    value = b"\x00{" if codec == "raw" else {1: slice(3)}
    with Client[Any, Any](url, codec=codec) as client:
        q = client.queue("jobs", max_deliveries=2)
        q.put(value)
        assert q.peek() == value
        delivery = q.get()
        assert delivery.value == value
        q.nack(delivery)
        q.nack(q.get())

        assert [letter.value() for letter in q.dead_letters.values()] == [value]


def test_value_of_another_codec(url: str, jobs: Remote) -> None:
    """What the codec of a client cannot read is said to be that."""
    jobs.put("json")
    with Client[Any, Any](url, codec="pickle") as client, pytest.raises(CorruptValueError, match="pickle"):
        client.queue("jobs").get()


def test_value_of_another_codec_among_others(url: str, jobs: Remote) -> None:
    """Those that can be read are given; it is told of, stays in flight, and is in nobody's way until it comes back."""
    with Client[Any, Any](url, codec="pickle") as client:
        pickled = client.queue("jobs", max_deliveries=1)
        pickled.put(1)
        jobs.put("json")
        pickled.put(2)

        with pytest.warns(RuntimeWarning, match="left out.*pickle"):
            got = pickled.get_many(3)
        assert [delivery.value for delivery in got] == [1, 2]
        assert jobs.counts() == Counts(0, 0, 3, 0)
        assert all(map(pickled.ack, got))


def test_class_that_a_client_has_not(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What pickle finds no class for costs itself alone, too."""
    with Client[Any, Any](url, codec="pickle") as client:
        q = client.queue("jobs")
        monkeypatch.setattr(diskdict.remote, "Lost", Lost, raising=False)
        q.put_many([Lost(), "here"])
        monkeypatch.delattr(diskdict.remote, "Lost")

        with pytest.warns(RuntimeWarning, match="left out.*Lost"):
            assert [delivery.value for delivery in q.get_many(2)] == ["here"]


class Lost:
    """Said to be of a module that a test can take it from."""

    __module__ = "diskdict.remote"


def test_long_wait(url: str, jobs: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits for longer than a request may take asks again and again."""
    monkeypatch.setattr(diskdict.remote, "POLL", 0.01)
    with ThreadPoolExecutor(1) as pool, Client[Any, Any](url) as other:
        waiting = pool.submit(jobs.get)
        wait_until(lambda: asked(url) > 5)
        other.queue("jobs").put("late")

        assert waiting.result().value == "late"


def asked(url: str) -> int:
    """Return how many requests to get something were answered."""
    with Client[Any, Any](url) as client:
        text = client._asking.ask("GET", "/metrics", 200).text
    line = next((line for line in text.splitlines() if 'method="POST",status="200"' in line), "0")
    return int(float(line.split()[-1]))


def test_sixteen_threads(jobs: Remote) -> None:
    """Eight put and eight get with one client: each item is got once, those of one thread in their order."""
    results: list[list[tuple[int, int]]] = [[] for _ in range(8)]

    def put(number: int) -> None:
        for turn in range(25):
            jobs.put((number, turn))

    def get(number: int) -> None:
        while True:
            delivery = jobs.get()
            assert jobs.ack(delivery)
            if delivery.value is None:
                return
            results[number].append(delivery.value)

    threads = [threading.Thread(target=act, args=(number,)) for act in (put, get) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads[:8]:
        thread.join()
    jobs.put_many([None] * 8)
    for thread in threads[8:]:
        thread.join()

    assert sorted(each for result in results for each in result) == [(n, turn) for n in range(8) for turn in range(25)]
    assert all(
        [turn for n, turn in result if n == one] == sorted(turn for n, turn in result if n == one)
        for result in results
        for one in range(8)
    )
    assert jobs.counts() == Counts(0, 0, 0, 0)


# ---- what goes wrong on the way


def test_put_is_repeated_only_with_a_key() -> None:
    """After a cut connection a put with a dedupe_key is sent again, another is not: it could be there twice."""
    with scripted(None, said("204 No Content")) as server, Client[Any, Any](server.url) as client:
        client.queue("jobs").put(1, dedupe_key="k")
        assert server.lines == ["POST /v1/queues/jobs/put"] * 2
    with scripted(None, said("204 No Content")) as server, Client[Any, Any](server.url) as client:
        with pytest.raises(ConnectionError, match="not known"):
            client.queue("jobs").put(1)
        assert server.lines == ["POST /v1/queues/jobs/put"]


def test_ack_is_not_repeated() -> None:
    """After a cut connection it is not known whether it was done."""
    with scripted(None, said("200 OK", body=b'{"done": false}')) as server, Client[Any, Any](server.url) as client:
        with pytest.raises(ConnectionError, match="not known"):
            client.queue("jobs").ack(Delivery(None, 1, 1, 0.0))
        assert server.lines == ["POST /v1/queues/jobs/ack"]


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"deliveries": 1}', b'{"deliveries": [{"id": "x"}]}', b"<html>"])
def test_answers_of_another_server(body: bytes) -> None:
    """What is no answer of diskdict is a ConnectionError that says so."""
    with scripted(said("200 OK", body=body)) as server, Client[Any, Any](server.url) as client:
        jobs = client.queue("jobs")
        for act in (jobs.get_nowait, jobs.counts, jobs.peek, jobs.clear, lambda: jobs.dead_letters[1]):
            with pytest.raises(ConnectionError, match="diskdict"):
                act()


def test_page_that_is_not_there() -> None:
    """A 404 that is not about a queue is no empty queue."""
    with scripted(said("404 Not Found", body=b"nothing")) as server, Client[Any, Any](server.url) as client:
        jobs = client.queue("jobs")
        with pytest.raises(ConnectionError, match="diskdict"):
            jobs.counts()


def test_closed_client(client: Client[Any, Any], jobs: Remote) -> None:
    """Its queues end with it."""
    client.close()

    with pytest.raises(ClosedError):
        jobs.get()
    assert repr(jobs) == f"<RemoteQueue 'jobs' of {client._url!r}>"


def test_server_that_ends(folder: Path) -> None:
    """Who waits is told that nobody is there any more, and goes on when somebody is."""
    with Crew("clienting") as crew, crew.actor() as actor:
        with started(folder) as running:
            actor.start("clienting.drain(url, 'jobs', say)", url=running.url)
            with Client[Any, Any](running.url) as client:
                client.queue("jobs").put("first")
            assert actor.hear() == "first"
        with pytest.raises(ConnectionRefusedError):
            actor.hear()


def test_too_large(url: str, jobs: Remote) -> None:
    """More than a request may carry is an OSError, and nothing is put."""
    with pytest.raises(OSError, match="bytes is taken here"):
        jobs.put("x" * (9 << 20))
    assert jobs.empty()


# ---- several processes


def listen(actor: Actor, words: list[object]) -> None:
    """Hear all that an actor says until it has ended, or died."""
    try:
        while (word := actor.hear()) is not None:
            words.append(word)
    except EOFError:
        pass


def test_worker_that_is_killed(folder: Path) -> None:
    """Of four workers one is killed at its work: all jobs are done, and none twice but the one it had."""
    jobs_done: list[list[object]] = [[] for _ in range(4)]
    with started(folder, "--visibility", "1") as running, Crew("clienting") as crew, ExitStack() as stack:
        actors = [stack.enter_context(crew.actor()) for _ in range(4)]
        for actor in actors:
            actor.start("clienting.drain(url, 'jobs', say)", url=running.url)
        jobs = stack.enter_context(Client[Any, Any](running.url)).queue("jobs")
        with ThreadPoolExecutor(4) as pool:
            for actor, words in zip(actors, jobs_done, strict=True):
                pool.submit(listen, actor, words)
            for number in range(0, 400, 4):
                jobs.put_many(range(number, number + 4))
                if number == 200:
                    wait_until(lambda: len(jobs_done[0]) >= 10)
                    actors[0].kill()
            wait_until(lambda: jobs.counts() == Counts(0, 0, 0, 0))
            jobs.put_many([None] * 3)
        counts = jobs.counts()

    done = [word for words in jobs_done for word in words]
    assert set(done) == set(range(400))
    assert len(done) <= 401
    assert set(done[: len(jobs_done[0]) - 1]).isdisjoint(done[len(jobs_done[0]) :])
    assert counts == Counts(0, 0, 0, 0)


def test_client_that_is_killed_while_it_waits(folder: Path) -> None:
    """Who is killed while waiting takes nothing with it: another gets all, and waits for no visibility."""
    with started(folder) as running, Crew("clienting") as crew, Client[Any, Any](running.url) as client:
        jobs = client.queue("jobs", visibility=3600)
        for number in range(20):
            with crew.actor() as actor:
                actor.start("clienting.drain(url, 'jobs', say)", url=running.url)
                wait_until(lambda: waiting(client) == 1)
            wait_until(lambda: waiting(client) == 0)
            jobs.put(number)
            with jobs.processing(block=False) as delivery:
                assert (delivery.value, delivery.deliveries) == (number, 1)


def waiting(client: Client[Any, Any]) -> int:
    """Return how many requests wait for a job."""
    found: int = client._asking.document(client._asking.ask("GET", "/v1/queues/jobs", 200))["waiting"]  # type: ignore[assignment]
    return found


def test_fork(folder: Path) -> None:
    """A forked child goes on with the queue of its parent, on connections of its own."""
    with started(folder) as running, Crew("clienting") as crew, crew.actor() as actor:
        assert actor.ask("clienting.put_on_both_sides_of_a_fork(url)", url=running.url) == 0
        with Client[Any, Any](running.url) as client:
            found = [delivery.value for delivery in client.queue("jobs").get_many(100)]

    assert sorted(found) == sorted(["parent", "child"] * 20)


def test_visibility_of_a_server(folder: Path) -> None:
    """What a server says holds for queues of which nothing else is said."""
    settings = Settings(visibility=0.05, max_deliveries=2)
    with ServedDict(folder) as store, served_here(store, settings) as url, Client[Any, Any](url) as client:
        jobs = client.queue("jobs")
        jobs.put("job")

        assert [jobs.get().deliveries, jobs.get().deliveries] == [1, 2]
        wait_until(lambda: jobs.counts() == Counts(0, 0, 0, 1))


class Ledger:
    """What was put and what was done for sure, by threads that go on whatever becomes of the server."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._end = threading.Event()
        self.put: set[tuple[int, int]] = set()
        self.got: set[tuple[int, int]] = set()
        self.done: set[tuple[int, int]] = set()
        self.again: set[tuple[int, int]] = set()

    def produce(self, number: int) -> None:
        with Client[Any, Any](self._url) as client:
            jobs = client.queue("jobs")
            for turn in count():
                if self._end.is_set():
                    return
                with self._lasting(), suppress(queue.Full):
                    jobs.put((number, turn), timeout=0.2)
                    self.put.add((number, turn))

    def consume(self) -> None:
        with Client[Any, Any](self._url) as client:
            jobs = client.queue("jobs")
            while not (self._end.is_set() and self.put <= self.got):
                with self._lasting(), suppress(queue.Empty):
                    delivery = jobs.get(timeout=0.2)
                    with self._lock:
                        self.got.add(delivery.value)
                        if delivery.value in self.done:
                            self.again.add(delivery.value)
                    if jobs.ack(delivery):
                        with self._lock:
                            self.done.add(delivery.value)

    @contextmanager
    def _lasting(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            self._end.wait(0.05)  # the next server needs the time more than this thread does

    def end(self) -> None:
        self._end.set()


def kill_servers(folder: Path, times: int) -> Ledger:
    """Kill a server so many times while two threads put and two get; return what they know."""
    with ExitStack() as stack:
        running = stack.enter_context(started(folder))
        port = int(running.url.rpartition(":")[2])
        ledger = Ledger(running.url)
        stack.enter_context(Client[Any, Any](running.url)).queue("jobs", maxsize=20)
        acts = [*(partial(ledger.produce, number) for number in range(2)), ledger.consume, ledger.consume]
        pool = stack.enter_context(ThreadPoolExecutor(4))
        stack.callback(ledger.end)
        results = [pool.submit(act) for act in acts]
        for _ in range(times):
            before = len(ledger.done)
            wait_until(lambda before=before: len(ledger.done) > before + 20)
            running.process.kill()
            running.process.wait()
            running = stack.enter_context(started(folder, port=port))
        ledger.end()
        for result in results:
            result.result()
    return ledger


def check_ledger(folder: Path, times: int) -> None:
    """Nothing that was put is lost, nothing that was done comes back."""
    ledger = kill_servers(folder, times)

    assert ledger.put <= ledger.got
    assert not ledger.again
    with DurableQueue[Any, Any](folder.parent / "store.queues" / "jobs") as q:
        assert not {q.get() for _ in range(q.qsize())} & ledger.done


def test_servers_that_are_killed(folder: Path) -> None:
    """Whenever a server is killed: what was put is done by somebody, what was acknowledged is not given again."""
    check_ledger(folder, 3)


@pytest.mark.torture
def test_many_servers_that_are_killed(folder: Path) -> None:
    """The same a hundred times."""
    check_ledger(folder, 100)
