"""Queues over HTTP, by docs/http.rst: what goes in comes out, who waits is answered, what is refused leaves nothing."""

from __future__ import annotations

import base64
import json
import resource
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from attacks import Answer, answer, ask, connected, head, post, wait_until
from clocks import Clock
from serving import client, served, served_here, started

from diskdict import StoreLockedError
from diskdict.queues.durable import DurableQueue
from diskdict.server import ServedDict, Settings

JOBS = "/v1/queues/jobs"
JSON = "Content-Type: application/json"


class Asked:
    """Requests to the queue ``jobs`` of a server."""

    def __init__(self, url: str, path: str = JOBS) -> None:
        self.url = url
        self.path = path

    def post(self, what: str, **fields: object) -> Answer:
        return post(self.url, f"{self.path}/{what}", json.dumps(fields).encode())

    def put(self, value: object, **fields: object) -> None:
        assert self.post("put", value=value, **fields).status == 204

    def get(self, **fields: object) -> list[dict[str, Any]]:
        found = self.post("get", **fields)
        assert found.status == 200
        deliveries: list[dict[str, Any]] = json.loads(found.body)["deliveries"]
        return deliveries

    def values(self, **fields: object) -> list[object]:
        return [each["value"] for each in self.get(**fields)]

    def done(self, what: str, delivery: dict[str, Any], **fields: object) -> bool:
        found = self.post(what, id=delivery["id"], deliveries=delivery["deliveries"], **fields)
        assert found.status == 200
        done: bool = json.loads(found.body)["done"]
        return done

    def made(self, **fields: object) -> Answer:
        return ask(self.url, "PUT", self.path, JSON, body=json.dumps(fields).encode())

    def look(self, rest: str = "") -> dict[str, Any]:
        found = ask(self.url, "GET", self.path + rest)
        assert found.status == 200
        document: dict[str, Any] = json.loads(found.body)
        return document

    def counts(self) -> tuple[int, int, int, int]:
        about = self.look()
        return about["ready"], about["delayed"], about["in_flight"], about["dead"]

    def is_awaited(self, times: int = 1) -> None:
        """Wait until so many requests wait for an item."""
        wait_until(lambda: self.look()["waiting"] == times)


@pytest.fixture
def url(folder: Path, clock: Clock) -> Iterator[str]:
    """A server in this process, on the clock of the test."""
    with ServedDict(folder, clock=clock) as store, served_here(store) as url:
        yield url


@pytest.fixture
def jobs(url: str) -> Asked:
    return Asked(url)


@pytest.fixture
def inside() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as pool:
        yield pool


@contextmanager
def waiting(jobs: Asked, **fields: object) -> Iterator[socket.socket]:
    """A request for an item that is sent and not answered yet."""
    body = json.dumps({"wait": 30, **fields}).encode()
    with connected(jobs.url) as sock:
        sock.sendall(head(jobs.url, "POST", f"{jobs.path}/get", JSON, f"Content-Length: {len(body)}") + body)
        yield sock


# ---- putting and getting


def test_way_of_an_item(jobs: Asked, clock: Clock) -> None:
    """It is put, delivered with what is known of it, and gone when it is acknowledged."""
    jobs.put({"url": "http://127.0.0.1/"})

    [delivery] = jobs.get()

    assert delivery["value"] == {"url": "http://127.0.0.1/"}
    assert delivery["deliveries"] == 1
    assert delivery["put_time"] == clock.now
    assert jobs.counts() == (0, 0, 1, 0)
    assert jobs.done("ack", delivery)
    assert jobs.counts() == (0, 0, 0, 0)
    assert not jobs.done("ack", delivery)


@pytest.mark.parametrize("value", [None, "", [1, 2.5], {"$tuple": [1, {"$bytes": "iVBORw0K"}]}, {"$float": "inf"}])
def test_values_keep_their_types(jobs: Asked, value: object) -> None:
    """They travel as JSON, with tags for what JSON has not."""
    jobs.put(value)

    assert jobs.look("/peek") == {"found": True, "value": value}
    assert jobs.values() == [value]
    assert jobs.look("/peek") == {"found": False}


def test_several_at_once(jobs: Asked) -> None:
    """Several are put as one change and got as one, in order, as many as there are."""
    assert jobs.post("put", values=[1, 2, 3]).status == 204

    assert jobs.values(count=2) == [1, 2]
    assert jobs.values(count=1_000) == [3]
    assert jobs.values(count=5) == []


def test_several_that_are_large(folder: Path) -> None:
    """An answer ends with the item that makes it as long as a request may be; those behind it are for the next."""
    with ServedDict(folder) as store, served_here(store, Settings(max_json=1_000)) as url:
        jobs = Asked(url)
        values = [letter * 400 for letter in "abcde"]
        for value in values:
            jobs.put(value)

        assert jobs.values(count=5) == values[:3]
        assert jobs.counts() == (2, 0, 3, 0)
        assert jobs.values(count=5) == values[3:]


def test_delay(jobs: Asked, clock: Clock) -> None:
    """What is delayed can be had when its time has come, before what was put later."""
    jobs.put("late", delay=10)
    jobs.put("early")

    assert jobs.counts() == (1, 1, 0, 0)
    assert jobs.values() == ["early"]
    clock.tick(10)
    assert jobs.values() == ["late"]


def test_put_repeated_with_a_key(jobs: Asked) -> None:
    """With a dedupe_key a put can be repeated as long as the item is there, in flight, too; then it is another one."""
    for _ in range(2):
        jobs.put("once", dedupe_key="k")
    [delivery] = jobs.get(count=10)
    jobs.put("once", dedupe_key="k")

    assert jobs.get() == []
    assert jobs.done("ack", delivery)
    jobs.put("again", dedupe_key="k")
    assert jobs.values() == ["again"]


def test_what_is_not_acknowledged_comes_back(jobs: Asked, clock: Clock) -> None:
    """After the visibility, 60 seconds, it is given to the next, and the first cannot acknowledge it any more."""
    jobs.put("job")
    [first] = jobs.get()
    clock.tick(59)
    assert jobs.get() == []

    clock.tick(1)
    [second] = jobs.get()

    assert second == first | {"deliveries": 2}
    assert not jobs.done("ack", first)
    assert jobs.done("ack", second)


def test_giving_back_and_holding(jobs: Asked, clock: Clock) -> None:
    """nack gives an item back, at once or after a delay; extend holds it longer."""
    jobs.put("job")
    [delivery] = jobs.get()
    assert jobs.done("nack", delivery)
    first, [delivery] = delivery, jobs.get()
    assert not jobs.done("nack", first)
    assert jobs.done("nack", delivery, delay=5)
    assert jobs.get() == []
    clock.tick(5)
    [delivery] = jobs.get()

    assert jobs.done("extend", delivery, visibility=100)
    clock.tick(99)
    assert jobs.get() == []
    assert jobs.done("extend", delivery)
    clock.tick(60)
    assert [each["deliveries"] for each in jobs.get()] == [4]
    assert not jobs.done("extend", delivery)


def test_clear(jobs: Asked) -> None:
    """It removes all items and says how many; the queue stays."""
    jobs.post("put", values=[1, 2, 3])
    jobs.get()

    assert json.loads(ask(jobs.url, "POST", f"{JOBS}/clear").body) == {"removed": 3}
    assert jobs.counts() == (0, 0, 0, 0)


# ---- queues


def test_queue_that_nobody_made(jobs: Asked) -> None:
    """It is an empty one to all who ask for items; only who asks for it itself is told, and nothing is made."""
    assert jobs.get() == []
    assert jobs.look("/peek") == {"found": False}
    assert jobs.look("/dead") == {"dead": []}
    assert not jobs.done("ack", {"id": 1, "deliveries": 1})
    assert json.loads(ask(jobs.url, "POST", f"{JOBS}/clear").body) == {"removed": 0}
    for method in ("GET", "DELETE"):
        found = ask(jobs.url, method, JOBS)
        assert (found.status, json.loads(found.body)["title"]) == (404, "KeyNotFoundError")
    assert Asked(jobs.url, "/v1/queues").look() == {"queues": []}


@pytest.mark.parametrize(("kind", "order"), [("fifo", [2, 1, 3]), ("lifo", [3, 1, 2]), ("priority", [1, 2, 3])])
def test_kinds(jobs: Asked, kind: str, order: list[int]) -> None:
    """A queue gives what was put first, what was put last, or the smallest, as it was made."""
    assert jobs.made(kind=kind).status == 201
    for value in (2, 1, 3):
        jobs.put(value)

    assert [jobs.values()[0] for _ in range(3)] == order


def test_what_cannot_be_compared(jobs: Asked) -> None:
    """A queue by priority refuses what has no place among the others, and nothing is put."""
    jobs.made(kind="priority")
    jobs.put(1)

    refused = jobs.post("put", value="a")

    assert (refused.status, json.loads(refused.body)["title"]) == (400, "InvalidValueError")
    assert jobs.values(count=10) == [1]


def test_settings_are_given_once(jobs: Asked) -> None:
    """The same again is fine, as is a part of them; others are refused with both named, and nothing is changed."""
    assert jobs.made(kind="lifo", maxsize=3, visibility=5, max_deliveries=2).status == 201
    assert jobs.made(kind="lifo", visibility=5.0).status == 204
    assert jobs.made().status == 204

    refused = jobs.made(kind="fifo", maxsize=3)

    assert (refused.status, json.loads(refused.body)["title"]) == (409, "FormatError")
    assert "lifo" in json.loads(refused.body)["detail"]
    about = {"name": "jobs", "kind": "lifo", "maxsize": 3, "visibility": 5.0, "max_deliveries": 2}
    assert about.items() <= jobs.look().items()


def test_names(jobs: Asked) -> None:
    """Queues are listed in the order in which they were made; names that differ in case are two."""
    for name in ("Jobs", "jobs", "con", "a.b-c_", "x" * 100, "X" * 100):
        queue = Asked(jobs.url, f"/v1/queues/{name}")
        queue.put(name)

        assert queue.values() == [name]
    listed = Asked(jobs.url, "/v1/queues").look()["queues"]
    assert listed == ["Jobs", "jobs", "con", "a.b-c_", "x" * 100, "X" * 100]


def test_too_many_queues(folder: Path) -> None:
    """A thousand are made, though the server was started with few descriptors; one more is refused while they are."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, limits[1]))
    with ExitStack() as stack:
        try:
            running = stack.enter_context(started(folder))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        http = stack.enter_context(client(running.url))
        made = [http.post(f"/v1/queues/q{number}/put", json={"value": number}).status_code for number in range(1_000)]
        refused = http.post("/v1/queues/more/put", json={"value": 1})
        http.delete("/v1/queues/q7")
        again = http.post("/v1/queues/more/put", json={"value": 1})

    assert made == [204] * 1_000
    assert (refused.status_code, refused.json()["title"], refused.json()["limit"]) == (507, "LimitError", "queues")
    assert again.status_code == 204


def test_queue_that_is_deleted(jobs: Asked, folder: Path) -> None:
    """It is gone from the disk with all that was in it, and made anew by the next put."""
    jobs.made(kind="lifo")
    jobs.post("put", values=[1, 2])

    assert ask(jobs.url, "DELETE", JOBS).status == 204
    assert not (folder.parent / "store.queues" / "jobs").exists()
    jobs.put(3)
    assert jobs.look()["kind"] == "fifo"
    assert jobs.values(count=10) == [3]


# ---- dead letters


@pytest.fixture
def dead(jobs: Asked) -> list[int]:
    """The ids of two dead letters, ``"a"`` and ``"b"``."""
    jobs.made(max_deliveries=1)
    jobs.post("put", values=["a", "b"])
    for delivery in jobs.get(count=2):
        jobs.done("nack", delivery)
    return [letter["id"] for letter in jobs.look("/dead")["dead"]]


def test_dead_letters(jobs: Asked, dead: list[int], clock: Clock) -> None:
    """What was given too often is told with why, when, and what it was."""
    assert jobs.counts() == (0, 0, 0, 2)

    letter = jobs.look(f"/dead/{dead[0]}")

    assert base64.b64decode(letter.pop("payload")) == b'"a"'
    assert letter.pop("value") == "a"
    assert letter == jobs.look("/dead")["dead"][0]
    assert (letter["deliveries"], letter["put_time"]) == (1, clock.now)
    assert "1" in letter["reason"]


def test_pages_of_dead_letters(jobs: Asked, dead: list[int]) -> None:
    """They come by ascending ids, from where one asks."""
    assert [each["id"] for each in jobs.look("/dead?limit=1")["dead"]] == dead[:1]
    assert [each["id"] for each in jobs.look(f"/dead?from={dead[0] + 1}")["dead"]] == dead[1:]
    assert jobs.look("/dead?limit=0") == {"dead": []}


def test_pages_of_dead_letters_that_go_meanwhile(jobs: Asked, inside: ThreadPoolExecutor) -> None:
    """A page has what is still there when its turn comes."""
    jobs.made(max_deliveries=1)
    jobs.post("put", values=list(range(300)))
    for delivery in jobs.get(count=300):
        jobs.done("nack", delivery)
    numbers = [letter["id"] for letter in jobs.look("/dead?limit=300")["dead"]]
    removed = [inside.submit(ask, jobs.url, "DELETE", f"{JOBS}/dead/{number}") for number in reversed(numbers)]

    while jobs.look("/dead?limit=300")["dead"]:
        pass
    assert {each.result().status for each in removed} == {204}


def test_dead_letters_put_anew(jobs: Asked, dead: list[int]) -> None:
    """One goes back into the queue with no deliveries, or all of them do."""
    found = json.loads(ask(jobs.url, "POST", f"{JOBS}/dead/{dead[1]}/requeue").body)
    [delivery] = jobs.get()
    assert (delivery["id"], delivery["value"], delivery["deliveries"]) == (found["id"], "b", 1)

    assert json.loads(ask(jobs.url, "POST", f"{JOBS}/requeue").body) == {"requeued": 1}
    assert jobs.values() == ["a"]
    assert jobs.look("/dead") == {"dead": []}


def test_dead_letter_that_cannot_be_compared(jobs: Asked) -> None:
    """A queue by priority refuses it as it refuses such a put, and it stays where it is."""
    jobs.made(kind="priority", max_deliveries=1)
    jobs.put("a")
    jobs.done("nack", jobs.get()[0])
    [letter] = jobs.look("/dead")["dead"]
    jobs.put(1)

    refused = ask(jobs.url, "POST", f"{JOBS}/dead/{letter['id']}/requeue")

    assert (refused.status, json.loads(refused.body)["title"]) == (409, "InvalidValueError")
    assert json.loads(ask(jobs.url, "POST", f"{JOBS}/requeue").body) == {"requeued": 0}
    assert jobs.counts() == (1, 0, 0, 1)


def test_dead_letters_removed(jobs: Asked, dead: list[int]) -> None:
    """One is removed, or all; what is not there is a 404."""
    path = f"{JOBS}/dead/{dead[0]}"
    assert ask(jobs.url, "DELETE", path).status == 204
    for refused in (
        ask(jobs.url, "DELETE", path),
        ask(jobs.url, "GET", path),
        ask(jobs.url, "POST", f"{path}/requeue"),
    ):
        assert (refused.status, json.loads(refused.body)["title"]) == (404, "KeyNotFoundError")

    assert json.loads(ask(jobs.url, "DELETE", f"{JOBS}/dead").body) == {"removed": 1}
    assert jobs.counts() == (0, 0, 0, 0)


# ---- waiting


def test_item_for_who_waits(jobs: Asked) -> None:
    """A request that waits is answered when somebody else puts something, also for the first time."""
    with waiting(jobs) as sock:
        jobs.put("job")

        assert json.loads(answer(sock).body)["deliveries"][0]["value"] == "job"


def test_wait_that_is_over(jobs: Asked) -> None:
    """Nothing is the answer when the time is over."""
    jobs.made()

    assert jobs.get(wait=0.05) == []
    assert jobs.look()["waiting"] == 0


def test_first_come_first_served(jobs: Asked) -> None:
    """Who waits longer is served first."""
    jobs.made()
    with ExitStack() as stack:
        socks = []
        for number in range(5):
            socks.append(stack.enter_context(waiting(jobs)))
            jobs.is_awaited(number + 1)
        jobs.post("put", values=list(range(5)))

        found = [json.loads(answer(sock).body)["deliveries"][0]["value"] for sock in socks]

    assert found == list(range(5))


def test_what_becomes_due_for_who_waits(folder: Path) -> None:
    """Who waits gets what was delayed, and what was given back because nobody acknowledged it, at its time."""
    with ServedDict(folder) as store, served_here(store, Settings(visibility=0.2)) as url:
        jobs = Asked(url)
        jobs.put("delayed", delay=0.1)

        [first] = jobs.get(wait=30)
        [second] = jobs.get(wait=30)

    assert (first["value"], first["deliveries"]) == ("delayed", 1)
    assert second == first | {"deliveries": 2}


def test_given_back_to_who_waits(jobs: Asked) -> None:
    """Who waits gets what somebody else gives back."""
    jobs.put("job")
    [delivery] = jobs.get()
    with waiting(jobs) as sock:
        jobs.is_awaited()
        jobs.done("nack", delivery)

        assert json.loads(answer(sock).body)["deliveries"] == [delivery | {"deliveries": 2}]


def test_queue_that_is_full(jobs: Asked, inside: ThreadPoolExecutor) -> None:
    """A put without room is refused, and one that waits is done when there is room."""
    jobs.made(maxsize=1)
    jobs.put("first")
    refused = jobs.post("put", value="second")
    assert (refused.status, json.loads(refused.body)["title"]) == (409, "Full")
    assert jobs.post("put", value="second", wait=0.01).status == 409
    assert jobs.post("put", values=[1, 2]).status == 400

    later = inside.submit(jobs.post, "put", value="second", wait=30)

    assert jobs.values() == ["first"]
    assert later.result().status == 204
    assert jobs.values() == ["second"]


def test_queue_that_is_deleted_while_somebody_waits(jobs: Asked) -> None:
    """Who waits goes on to wait, for the queue of that name that comes next."""
    jobs.made()
    with waiting(jobs) as sock:
        jobs.is_awaited()
        ask(jobs.url, "DELETE", JOBS)
        jobs.put("anew")

        assert json.loads(answer(sock).body)["deliveries"][0]["value"] == "anew"


def test_two_hundred_wait(folder: Path) -> None:
    """They cost no thread, hold up nobody, and of as many items each gets one."""
    with started(folder) as running, ExitStack() as stack:
        jobs = Asked(running.url)
        jobs.made()
        before = threads_of(running.process.pid)
        socks = [stack.enter_context(waiting(jobs)) for _ in range(200)]
        jobs.is_awaited(200)
        grown = threads_of(running.process.pid) - before
        assert jobs.post("put", values=list(range(200))).status == 204

        found = [each["value"] for sock in socks for each in json.loads(answer(sock).body)["deliveries"]]

    assert grown <= 1
    assert sorted(found) == list(range(200))


def threads_of(pid: int) -> int:
    """Return how many threads a process has; 0 where the system does not tell."""
    tasks = Path(f"/proc/{pid}/task")
    return len(list(tasks.iterdir())) if tasks.exists() else 0


# ---- who goes away


def test_client_that_goes_while_it_waits(jobs: Asked) -> None:
    """It is forgotten, and takes nothing with it."""
    jobs.made()
    with waiting(jobs):
        jobs.is_awaited()
    jobs.is_awaited(0)

    jobs.put("job")

    assert jobs.counts() == (1, 0, 0, 0)


def test_clients_that_go_when_an_item_comes(jobs: Asked) -> None:
    """Whatever they do at the same moment, an item is not lost to who has hung up before it was put."""
    jobs.made()
    for number in range(30):
        with waiting(jobs):
            jobs.is_awaited()
        jobs.put(number)

        [delivery] = jobs.get(wait=5)
        assert delivery["value"] == number
        assert jobs.done("ack", delivery)


def test_clients_that_are_gone_before_they_are_heard(jobs: Asked) -> None:
    """A request whose connection has ended behind it takes nothing."""
    jobs.put("job")
    for _ in range(20):
        with connected(jobs.url) as sock:
            # The end comes in one piece with the request.
            sock.send(head(jobs.url, "POST", f"{JOBS}/get"), getattr(socket, "MSG_MORE", 0))

        wait_until(lambda: jobs.counts() == (1, 0, 0, 0))
    assert jobs.values() == ["job"]


def test_clients_that_go_when_they_have_their_answer(jobs: Asked) -> None:
    """What has reached its client is not given back, however soon that hangs up."""
    jobs.post("put", values=list(range(50)))
    for number in range(50):
        with connected(jobs.url) as sock:
            sock.sendall(head(jobs.url, "POST", f"{JOBS}/get"))
            assert json.loads(answer(sock).body)["deliveries"][0]["value"] == number

    assert jobs.counts() == (0, 0, 50, 0)


def test_client_that_goes_in_the_middle_of_its_answer(jobs: Asked) -> None:
    """An item that did not reach it is given back at once."""
    jobs.put("x" * (6 << 20))
    with connected(jobs.url) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.sendall(head(jobs.url, "POST", f"{JOBS}/get"))
        assert sock.recv(100).startswith(b"HTTP/1.1 200")
        assert jobs.counts() == (0, 0, 1, 0)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")

    wait_until(lambda: jobs.counts() == (1, 0, 0, 0))
    assert [each["deliveries"] for each in jobs.get()] == [2]


# ---- servers that end


def test_server_that_ends_answers_who_waits(folder: Path) -> None:
    """They get nothing, at once, and the server ends well."""
    with started(folder) as running:
        jobs = Asked(running.url)
        jobs.made(maxsize=1)
        with waiting(jobs) as sock:
            jobs.is_awaited()
            running.process.terminate()

            assert json.loads(answer(sock).body) == {"deliveries": []}
        assert running.process.wait(30) == 0


@pytest.mark.parametrize("how", ["terminate", "kill"])
def test_restart(folder: Path, how: str) -> None:
    """All is there: what waits, in order, what was in flight, which is given back, dead letters, and settings."""
    with started(folder) as running:
        jobs = Asked(running.url)
        jobs.made(kind="priority", max_deliveries=2)
        jobs.post("put", values=[5, 3, 4])
        [gone] = jobs.get()
        assert jobs.done("ack", gone)
        jobs.get()
        Asked(running.url, "/v1/queues/other").put("x")
        getattr(running.process, how)()
        running.process.wait(30)
    with served(folder) as url:
        jobs = Asked(url)
        about = jobs.look()
        assert (about["kind"], about["max_deliveries"]) == ("priority", 2)
        assert [(each["value"], each["deliveries"]) for each in jobs.get(count=5)] == [(4, 2), (5, 1)]
        assert Asked(url, "/v1/queues").look() == {"queues": ["jobs", "other"]}


def test_options(folder: Path, tmp_path: Path) -> None:
    """The command says where queues are, and what new ones are made with; the folder is for one server."""
    options = ("--queues", tmp_path / "q", "--visibility", "7.5", "--max-deliveries", "3", "--durability", "full")
    with served(folder, *options) as url:
        jobs = Asked(url)
        jobs.put(1)
        assert (jobs.look()["visibility"], jobs.look()["max_deliveries"]) == (7.5, 3)
        assert jobs.values(wait=5) == [1]
        with pytest.raises(StoreLockedError):
            DurableQueue(tmp_path / "q" / "jobs")
        with served(tmp_path / "second", "--queues", tmp_path / "q") as second:
            refused = ask(second, "GET", "/v1/queues")
            assert (refused.status, json.loads(refused.body)["title"]) == (503, "StoreLockedError")
    with DurableQueue[object, object](tmp_path / "q" / "jobs") as q:
        assert q.get() == 1


@pytest.mark.parametrize("option", ["--visibility=0", "--visibility=-1", "--max-deliveries=0", "--max-deliveries=1000"])
def test_options_that_are_none(folder: Path, option: str) -> None:
    """What cannot be is said before anything is opened."""
    with pytest.raises(AssertionError, match="does not serve"), started(folder, option):
        pass
    assert not folder.exists()


# ---- who may ask, and what


def test_metrics(jobs: Asked) -> None:
    """They tell how much is in each queue."""
    jobs.post("put", values=[1, 2])
    jobs.get()

    lines = ask(jobs.url, "GET", "/metrics").body.decode().splitlines()

    assert 'diskdict_queue_items{queue="jobs",state="ready"} 1.0' in lines
    assert 'diskdict_queue_items{queue="jobs",state="in_flight"} 1.0' in lines


def test_queue_that_cannot_be_opened(folder: Path) -> None:
    """It is an error to who asks for it, and to nobody else."""
    with served(folder) as url:
        for name in ("bad", "good"):
            Asked(url, f"/v1/queues/{name}").put(1)
    (folder.parent / "store.queues" / "bad" / "diskdict.json").write_text("{}")
    with ServedDict(folder) as store, served_here(store) as url:
        refused = ask(url, "POST", "/v1/queues/bad/get")
        assert (refused.status, json.loads(refused.body)["title"]) == (500, "FormatError")
        assert 'queue="good",state="ready"} 1.0' in ask(url, "GET", "/metrics").body.decode()
        assert Asked(url, "/v1/queues/good").values() == [1]


def test_token_and_origin(folder: Path) -> None:
    """Queues are behind the gate as all else."""
    settings = Settings(token="correct-horse-battery-staple")
    with ServedDict(folder) as store, served_here(store, settings) as url:
        assert ask(url, "GET", "/v1/queues").status == 401
        assert ask(url, "POST", f"{JOBS}/get").status == 401
        token = "Authorization: Bearer correct-horse-battery-staple"
        assert ask(url, "POST", f"{JOBS}/get", token, "Origin: http://elsewhere.example").status == 403
        assert ask(url, "POST", f"{JOBS}/get", token).status == 200


@pytest.mark.parametrize(
    "name",
    ["..%2f..%2fetc", "%2e%2e", ".hidden", "a%2Fb", "a%00b", "a%0ab", "x" * 101, "a b", "%C3%A4", "a%", "%ff", "a:b"],
)
def test_names_that_are_none(jobs: Asked, folder: Path, name: str) -> None:
    """A name that could be a path, or is none, is refused by every route, and nothing is made."""
    queue = Asked(jobs.url, f"/v1/queues/{name}")

    assert queue.made().status == 400
    assert queue.post("put", value=1).status == 400
    assert queue.post("get").status == 400
    for rest in ("", "/peek", "/dead", "/dead/1"):
        assert ask(jobs.url, "GET", queue.path + rest).status == 400
    assert ask(jobs.url, "DELETE", queue.path).status == 400
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


REFUSED: list[tuple[str, object]] = [
    ("put", {}),
    ("put", {"value": 1, "values": [1]}),
    ("put", {"values": 1}),
    ("put", {"values": [1], "dedupe_key": "k"}),
    ("put", {"value": 1, "dedupe_key": 1}),
    ("put", {"value": 1, "dedupe_key": ""}),
    ("put", {"value": 1, "dedupe_key": "k" * 1001}),
    ("put", {"value": 1, "dedupe_key": "\ud800"}),
    ("put", {"value": 1, "delay": -1}),
    ("put", {"value": 1, "delay": "1"}),
    ("put", {"value": 1, "delay": 1e300}),
    ("put", {"value": 1, "delay": True}),
    ("put", {"value": {"$tuple": 1}}),
    ("put", {"value": 1, "more": 1}),
    ("put", [1]),
    ("get", {"count": 0}),
    ("get", {"count": 1.5}),
    ("get", {"count": True}),
    ("get", {"count": 10**30}),
    ("get", {"wait": 61}),
    ("get", {"wait": -1}),
    ("get", {"wait": None}),
    ("get", {"timeout": 1}),
    ("get", []),
    ("ack", {}),
    ("ack", {"id": 0}),
    ("ack", {"id": "0", "deliveries": 1}),
    ("ack", {"id": -1, "deliveries": 1}),
    ("ack", {"id": 0, "deliveries": 0}),
    ("ack", {"id": 0, "deliveries": [1]}),
    ("nack", {"id": 0, "deliveries": 1, "delay": {}}),
    ("extend", {"id": 0, "deliveries": 1, "visibility": 0}),
    ("extend", {"id": 0, "deliveries": 1, "visibility": "x"}),
]


@pytest.mark.parametrize(("what", "body"), REFUSED, ids=repr)
def test_bodies_that_are_none(jobs: Asked, what: str, body: object) -> None:
    """A body of another form is a 400 that says what is wanted, and changes nothing."""
    jobs.put("kept")

    refused = post(jobs.url, f"{JOBS}/{what}", json.dumps(body).encode())

    assert (refused.status, json.loads(refused.body)["title"]) == (400, "BadRequest")
    assert jobs.counts() == (1, 0, 0, 0)


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "stack"},
        {"kind": ["fifo"]},
        {"maxsize": -1},
        {"maxsize": 1.5},
        {"visibility": 0},
        {"visibility": None},
        {"visibility": 1e10},
        {"max_deliveries": 0},
        {"max_deliveries": 1000},
        {"size": 1},
    ],
    ids=repr,
)
def test_settings_that_are_none(jobs: Asked, folder: Path, fields: dict[str, object]) -> None:
    """They are refused, and no queue is made."""
    assert jobs.made(**fields).status == 400
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_other_hostile_requests(jobs: Asked) -> None:
    """Bodies too large, of another type or no JSON, queries, ids and methods that are none: each has its status."""
    get, put = f"{JOBS}/get", f"{JOBS}/put"
    assert ask(jobs.url, "POST", put, JSON, f"Content-Length: {9 << 20}").status == 413
    assert post(jobs.url, put, b'{"value": ').status == 400
    assert post(jobs.url, put, b'{"value": 1e999}').status == 400
    assert post(jobs.url, put, b"[" * 100_000).status == 400
    assert ask(jobs.url, "POST", put, "Content-Type: application/octet-stream", body=b"x").status == 415
    assert ask(jobs.url, "POST", put, JSON).status == 400
    assert ask(jobs.url, "POST", f"{get}?wait=1").status == 400
    for item in ("x", "-1", "1" * 20, "%31", "1.0"):
        assert ask(jobs.url, "GET", f"{JOBS}/dead/{item}").status == 400
    for query in ("limit=-1", "limit=10001", "from=x", "limit=1&limit=2", "after=1"):
        assert ask(jobs.url, "GET", f"{JOBS}/dead?{query}").status == 400
    assert ask(jobs.url, "GET", get).status == 405
    assert ask(jobs.url, "POST", "/v1/queues").status == 405
    assert ask(jobs.url, "GET", "/v1/queues/").status == 404
    assert Asked(jobs.url, "/v1/queues").look() == {"queues": []}
