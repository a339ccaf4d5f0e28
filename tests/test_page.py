"""The page of the server, in a real browser. Pictures of it go to the folder that DISKDICT_PICTURES names."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from folders import fill
from playwright.sync_api import Browser, FilePayload, Locator, Page, Route, expect, sync_playwright
from serving import served_here, started
from tallies import Announce

from diskdict.server import ServedDict, Settings

RouteHandler = Callable[[Route], None]

TOKEN = "a-token-of-some-length"
BIG = 12345678901234567890123
MARKUP = "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>"

_EXPECTED = re.compile(r"Failed to load resource: (the server responded with a status of 4(01|04|09|12)|net::ERR_)")
"""What the browser says of answers that a test asks for on purpose."""


@pytest.fixture(scope="session")
def chromium(announce: Announce) -> str:
    """The browser's path. As root it is installed where it is missing; without it nothing here can run."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None and shutil.which("apt-get") and os.geteuid() == 0:
        command = ["apt-get", "install", "--yes", "--quiet=2", "--no-install-recommends", "chromium"]
        subprocess.run(command, check=False, capture_output=True, timeout=600)
        found = shutil.which("chromium")
    if found is None:
        announce("the page in a browser: there is no Chromium here, and it could not be installed; make tools does.")
        pytest.skip("no Chromium here")
    return found


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    """One browser for all tests; each has a profile of its own."""
    expect.set_options(timeout=60_000)
    with sync_playwright() as tools:
        opened = tools.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures go."""
    named = os.environ.get("DISKDICT_PICTURES")
    folder = Path(named) if named else tmp_path_factory.mktemp("pictures")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


class Visit:
    """Somebody at the page: what they see, and what they do."""

    def __init__(self, page: Page, url: str, pictures: Path) -> None:
        self.page = page
        self.url = url
        self.requests: list[str] = []
        self.troubles: list[str] = []
        self._pictures = pictures
        page.set_default_timeout(15_000)
        page.on("request", lambda request: self._asked(request.url))
        page.on("pageerror", lambda error: self.troubles.append(f"error: {error}"))
        page.on("console", lambda said: self._said(said.type, said.text))

    def _asked(self, url: str) -> None:
        self.requests.append(url)
        if not url.startswith((self.url + "/", f"blob:{self.url}/", "data:image/svg+xml,")):
            self.troubles.append(f"elsewhere: {url}")

    def _said(self, kind: str, text: str) -> None:
        if kind in ("error", "warning") and not _EXPECTED.match(text):
            self.troubles.append(f"{kind}: {text}")

    @property
    def detail(self) -> Locator:
        return self.page.locator("#detail")

    @property
    def value(self) -> Locator:
        return self.page.locator("#value")

    @property
    def dialog(self) -> Locator:
        return self.page.locator("dialog").last

    def row(self, text: str) -> Locator:
        return self.page.locator("#rows [role=row]").filter(has=self.page.get_by_text(text, exact=True))

    def in_sight(self) -> list[str]:
        """The keys that have rows, from above; some are beyond the edges."""
        rows = "#rows [role=row]:not(.coming)"
        return self.page.locator(rows).evaluate_all("all => all.map(row => row.children[0].textContent)")

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    def open(self, key: str) -> None:
        self.row(key).click()
        expect(self.detail.get_by_role("toolbar")).to_be_visible()

    def listings(self) -> int:
        """How often a page of keys was asked for."""
        return sum(urlsplit(url).path == "/v1/keys" for url in self.requests)

    def picture(self, name: str) -> None:
        # Given a path, it would leave a thread behind that has written the file.
        (self._pictures / f"{name}.png").write_bytes(self.page.screenshot(animations="disabled"))


@pytest.fixture
def store(folder: Path) -> Iterator[ServedDict]:
    """What is served; a test that changes it is somebody else to the page."""
    with ServedDict(folder) as opened:
        yield opened


@pytest.fixture
def visiting(browser: Browser, pictures: Path) -> Iterator[Callable[..., Visit]]:
    """Open the page at a URL. At the end nothing was asked of other servers, and the browser had nothing to say."""
    visits = []

    def visit(
        url: str, *, wide: int = 1280, high: int = 800, scheme: str = "light", keys: RouteHandler | None = None
    ) -> Visit:
        context = browser.new_context(viewport={"width": wide, "height": high}, color_scheme=scheme)
        visits.append(Visit(context.new_page(), url, pictures))
        if keys is not None:
            visits[-1].page.route("**/v1/keys?*", keys)
        visits[-1].page.goto(url)
        return visits[-1]

    yield visit
    for visit in visits:
        visit.page.context.close()
    assert [trouble for visit in visits for trouble in visit.troubles] == []


@pytest.fixture
def served(store: ServedDict) -> Iterator[str]:
    with served_here(store) as url:
        yield url


@pytest.fixture
def at(served: str, visiting: Callable[..., Visit]) -> Callable[..., Visit]:
    """Open the page of the store: call it when there is in it what is to be seen at first."""
    return lambda **how: visiting(served, **how)


def eventually(holds: Callable[[], object], seconds: float = 10) -> None:
    """Wait until something holds that the page does not tell."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come to hold"
        time.sleep(0.01)


# ---- adding


def test_a_key_is_added_with_time_to_live_and_metadata(store: ServedDict, at: Callable[..., Visit]) -> None:
    """An empty store says so; what is stored then is a row, and open."""
    visit = at()
    expect(visit.page.get_by_text("This store is empty.")).to_be_visible()
    visit.picture("empty")

    visit.button("New key").click()
    visit.page.get_by_label("Key", exact=True).fill("user:ada")
    visit.page.get_by_label("Value", exact=True).fill('{"name": "Ada"}')
    visit.page.get_by_label("Time-to-live").fill("1h 30m")
    visit.page.get_by_text("Metadata", exact=True).click()
    visit.page.get_by_label("Metadata, a JSON object").fill('{\n"by": "Ünal 😀"\n}')
    visit.picture("new-key")
    visit.button("Store").click()

    expect(visit.row("user:ada")).to_be_visible()
    expect(visit.value).to_have_text('{"name": "Ada"}')
    assert store["user:ada"] == {"name": "Ada"}
    assert store.info("user:ada").metadata == {"by": "Ünal 😀"}
    assert 5_300 < (store.ttl("user:ada") or 0) <= 5_400


def test_a_text_and_a_file_are_added(store: ServedDict, at: Callable[..., Visit]) -> None:
    """A text is a str, whatever it looks like; a file is its bytes."""
    visit = at()
    chosen = FilePayload(name="chosen", mimeType="text/html", buffer=bytes(range(256)))

    visit.page.keyboard.press("n")
    visit.page.get_by_label("Key", exact=True).fill("text")
    visit.dialog.get_by_role("radio", name="Text").check()
    visit.page.get_by_label("Value", exact=True).fill('[1, "two"]\n')
    visit.button("Store").click()
    expect(visit.value).to_have_text('"[1, \\"two\\"]\\n"')
    visit.button("New key").click()
    visit.page.get_by_label("Key", exact=True).fill("file")
    visit.dialog.get_by_role("radio", name="File").check()
    visit.dialog.locator("input[type=file]").set_input_files(chosen)
    visit.button("Store").click()

    expect(visit.row("file")).to_be_visible()
    assert store["text"] == '[1, "two"]\n'
    assert store["file"] == bytes(range(256))


def test_what_cannot_be_added_is_said(store: ServedDict, at: Callable[..., Visit]) -> None:
    """Broken JSON, a time that is none, a key that is there: the form stays, and what was typed with it."""
    store["taken"] = 1
    visit = at()

    visit.button("New key").click()
    visit.page.get_by_label("Key", exact=True).fill("taken")
    visit.page.get_by_label("Value", exact=True).fill('{"a": }')
    visit.button("Store").click()
    expect(visit.dialog.get_by_role("alert")).to_contain_text("Line 1, column 7: a value should be here, not }")
    visit.page.get_by_label("Value", exact=True).fill("2")
    visit.page.get_by_label("Time-to-live").fill("soon")
    visit.button("Store").click()
    expect(visit.dialog.get_by_role("alert")).to_contain_text("15m, 2h")
    visit.page.get_by_label("Time-to-live").fill("")
    visit.button("Store").click()
    expect(visit.dialog.get_by_role("alert")).to_contain_text("taken")
    visit.page.keyboard.press("Escape")
    expect(visit.dialog).to_contain_text("Press Esc again")
    visit.page.keyboard.press("Escape")

    expect(visit.dialog).to_have_count(0)
    assert store == {"taken": 1}


def test_a_store_of_bytes_takes_bytes(folder: Path, visiting: Callable[..., Visit]) -> None:
    """With codec "raw" there is no JSON to choose, and a text is its bytes."""
    with ServedDict(folder, codec="raw") as store, served_here(store) as url:
        visit = visiting(url)
        expect(visit.page.locator("#facts")).to_contain_text("codec raw")

        visit.button("New key").click()
        visit.page.get_by_label("Key", exact=True).fill("k")
        visit.page.get_by_label("Value", exact=True).fill("é\n")
        expect(visit.dialog.get_by_role("radio")).to_have_count(2)
        visit.button("Store").click()

        expect(visit.value).to_have_text("é")
        assert store["k"] == "é\n".encode()
        visit.page.context.close()


# ---- editing


def test_an_edit_keeps_all_else(store: ServedDict, at: Callable[..., Visit]) -> None:
    """Time-to-live, metadata, numbers beyond 2**53, digits of fractions and the order of names."""
    store.set("k", {"z": BIG, "n": 1, "a": [1.0, 1e300, -0.0], "s": "é\u2028\\"}, ttl=500, metadata={"by": BIG})
    visit = at()
    visit.open("k")
    expect(visit.value).to_contain_text(str(BIG))
    expect(visit.page.locator("#metadata")).to_contain_text(str(BIG))

    visit.page.keyboard.press("e")
    area = visit.page.get_by_label("Value", exact=True)
    area.fill(area.input_value().replace('"n": 1', '"n": 2'))
    visit.button("Save").click()

    expect(visit.value).to_contain_text('"n": 2')
    assert store["k"] == {"z": BIG, "n": 2, "a": [1.0, 1e300, -0.0], "s": "é\u2028\\"}
    assert list(store["k"]) == ["z", "n", "a", "s"]  # type: ignore[call-overload]
    assert store.info("k").metadata == {"by": BIG}
    assert 400 < (store.ttl("k") or 0) <= 500


@pytest.mark.parametrize("choice", ["Overwrite with mine", "Keep theirs", "Edit mine further"])
def test_a_change_by_somebody_else_is_not_overwritten(store: ServedDict, at: Callable[..., Visit], choice: str) -> None:
    """Both versions are shown, and only what is chosen then is stored."""
    store["k"] = {"name": "Ada", "year": 1815, "city": "London", "works": ["Notes", "Letters"], "known": True}
    visit = at()
    visit.open("k")
    visit.button("Edit").click()
    visit.page.get_by_label("Value", exact=True).fill('{"name": "mine"}')
    store["k"] = {"name": "theirs"}
    expect(visit.dialog.get_by_text("Somebody has changed this key meanwhile.")).to_be_visible()

    visit.button("Save").click()
    expect(visit.dialog.get_by_label("Theirs, in the store now:")).to_contain_text('"theirs"')
    expect(visit.dialog.get_by_label("Yours:")).to_contain_text('"mine"')
    assert store["k"] == {"name": "theirs"}
    visit.picture("conflict")
    visit.button(choice).click()

    if choice == "Edit mine further":
        expect(visit.page.get_by_label("Value", exact=True)).to_have_value('{"name": "mine"}')
        assert store["k"] == {"name": "theirs"}
        visit.button("Save").click()
    expect(visit.dialog).to_have_count(0)
    kept = "theirs" if choice == "Keep theirs" else "mine"
    expect(visit.value).to_contain_text(kept)
    assert store["k"] == {"name": kept}


def test_a_key_that_is_deleted_while_it_is_edited_can_be_stored_again(
    store: ServedDict, at: Callable[..., Visit]
) -> None:
    """With its metadata, if the person wants so."""
    store.set("k", "old", metadata={"by": "me"})
    visit = at()
    visit.open("k")
    visit.button("Edit").click()
    visit.page.get_by_label("Value", exact=True).fill('"new"')
    del store["k"]

    visit.button("Save").click()
    expect(visit.button("Leave it deleted")).to_be_visible()
    visit.button("Overwrite with mine").click()

    expect(visit.value).to_have_text('"new"')
    assert store["k"] == "new"
    assert store.info("k").metadata == {"by": "me"}


def test_lines_of_another_system_stay(store: ServedDict, at: Callable[..., Visit]) -> None:
    """A text area knows line feeds only; bytes whose lines end in CR LF keep that."""
    store["k"] = b"one\r\ntwo\r\n"
    visit = at()
    visit.open("k")

    visit.button("Edit").click()
    visit.page.get_by_label("Value", exact=True).fill("one\nthree\n")
    visit.button("Save").click()

    expect(visit.value).to_contain_text("three")
    assert store["k"] == b"one\r\nthree\r\n"


def test_time_to_live_and_metadata_change(store: ServedDict, at: Callable[..., Visit]) -> None:
    """The value stays; for ever is a time, too."""
    store["k"] = "value"
    visit = at()
    visit.open("k")

    visit.button("Time-to-live").click()
    visit.button("15m").click()
    visit.picture("time-to-live")
    visit.button("Set").click()
    expect(visit.detail.locator(".facts .left")).to_contain_text("in 1")
    assert 890 < (store.ttl("k") or 0) <= 900
    visit.button("Metadata").click()
    visit.page.get_by_label("A JSON object").fill(f'{{"n": {BIG}}}')
    visit.button("Set").click()
    expect(visit.page.locator("#metadata")).to_contain_text(str(BIG))
    visit.page.keyboard.press("t")
    visit.button("never").click()
    visit.button("Set").click()

    expect(visit.detail.locator(".facts")).to_contain_text("never")
    assert store.ttl("k") is None
    assert store["k"] == "value"
    assert store.info("k").metadata == {"n": BIG}


# ---- deleting and expiring


def test_deleting_asks_before(store: ServedDict, at: Callable[..., Visit]) -> None:
    """Cancel is what the keyboard is on at first, and leaves all as it is."""
    store.update(a=1, b=2)
    visit = at()
    visit.open("a")

    visit.button("Delete").click()
    expect(visit.dialog.get_by_role("button", name="Cancel")).to_be_focused()
    visit.picture("delete")
    visit.page.keyboard.press("Enter")
    expect(visit.dialog).to_have_count(0)
    assert store == {"a": 1, "b": 2}
    visit.button("Delete").click()
    visit.dialog.get_by_role("button", name="Delete").click()

    expect(visit.row("a")).to_have_count(0)
    expect(visit.detail).to_be_hidden()
    expect(visit.row("b")).to_be_visible()
    assert store == {"b": 2}


def test_what_has_changed_is_not_deleted_unseen(store: ServedDict, at: Callable[..., Visit]) -> None:
    """Somebody stores another value while the question is open: it is asked again."""
    store["k"] = 1
    visit = at()
    visit.open("k")
    visit.button("Delete").click()
    store["k"] = "something longer"

    visit.dialog.get_by_role("button", name="Delete").click()
    expect(visit.dialog.get_by_role("alert")).to_contain_text("Delete the new version, too?")
    assert store["k"] == "something longer"
    visit.dialog.get_by_role("button", name="Delete").click()

    expect(visit.row("k")).to_have_count(0)
    assert "k" not in store


def test_an_expired_key_vanishes(store: ServedDict, at: Callable[..., Visit]) -> None:
    """When its countdown ends, from the table and from what is open; nobody tells the page."""
    store.update(before=1, after=2)
    visit = at()
    expect(visit.page.locator("#link")).to_contain_text("Live")
    store.set("short", 3, ttl=3)
    visit.open("short")
    expect(visit.row("short").locator(".left")).to_have_text(re.compile(r"[123]s"))

    expect(visit.detail).to_contain_text("This key has expired.")
    expect(visit.row("short")).to_have_count(0)
    assert visit.in_sight() == ["before", "after"]
    expect(visit.page.locator("#found")).to_have_text("2 keys")


# ---- finding


def test_search_takes_words_and_globs(store: ServedDict, at: Callable[..., Visit]) -> None:
    """A word is looked for anywhere in a key; newest first turns the order."""
    store.update({"user:1": 1, "user:2": 2, "order:1": 3, "a user": 4})
    visit = at()
    query = visit.page.get_by_role("searchbox")
    expect(visit.page.locator("#found")).to_have_text("4 keys")

    query.fill("user")
    expect(visit.page.locator("#found")).to_have_text("3 found")
    assert visit.in_sight() == ["user:1", "user:2", "a user"]
    visit.button("Newest first").click()
    expect(visit.page.locator("#row-0")).to_contain_text("a user")
    query.fill("*:[!2]")
    expect(visit.page.locator("#found")).to_have_text("2 found")
    assert visit.in_sight() == ["order:1", "user:1"]
    query.fill("nothing like this")
    expect(visit.page.get_by_text("No key matches")).to_be_visible()
    visit.picture("no-match")
    visit.button("Show all keys").click()

    expect(visit.page.locator("#found")).to_have_text("4 keys")


@pytest.mark.parametrize("number", [20_000, pytest.param(100_000, marks=pytest.mark.torture)])
def test_many_keys(folder: Path, visiting: Callable[..., Visit], number: int) -> None:
    """Some pages of them are loaded, few rows are elements, and the scrollbar reaches any place."""
    fill(folder, number)
    with ServedDict(folder) as store, served_here(store) as url:
        visit = visiting(url)
        expect(visit.row("key.000000")).to_be_visible()
        expect(visit.page.locator("#found")).to_have_text(f"{number:,} keys")
        assert visit.listings() == 1
        visit.picture("many")

        visit.page.locator("#scroller").evaluate("box => box.scrollTop = box.scrollHeight / 2")
        expect(visit.row(f"key.{number // 2:06}")).to_be_visible()
        visit.page.locator("#grid").press("End")
        expect(visit.row(f"key.{number - 1:06}")).to_be_visible()
        visit.page.locator("#grid").press("Enter")
        expect(visit.value).to_have_text(str(number - 1))

        assert visit.page.locator("#rows [role=row]").count() < 100
        assert visit.listings() <= 8


def test_a_million_keys(served: str, visiting: Callable[..., Visit]) -> None:
    """Higher than an element can be: the bar goes in large steps, the wheel by rows. The answers are made up."""
    total = 1_000_000

    def answered(route: Route) -> None:
        asked = parse_qs(urlsplit(route.request.url).query)
        first = int(asked["offset"][0])
        places = range(first, min(total, first + int(asked["limit"][0])))
        keys = [{"key": f"key:{place}", "size": 1, "created_at": 0.0, "expires_at": None} for place in places]
        route.fulfill(json={"keys": keys, "cursor": None, "total": total})

    visit = visiting(served, keys=answered)
    expect(visit.row("key:0")).to_be_visible()
    scroller = visit.page.locator("#scroller")

    scroller.hover()
    visit.page.mouse.wheel(0, 280)
    expect(visit.row("key:10")).to_be_in_viewport()
    assert "key:40" in visit.in_sight()
    scroller.evaluate("box => box.scrollTop = (box.scrollHeight - box.clientHeight) / 2")
    expect(visit.row("key:500000")).to_be_in_viewport()
    place = visit.row("key:500000").bounding_box() or {"y": 0}
    visit.page.mouse.wheel(0, 280)
    eventually(lambda: (visit.row("key:500000").bounding_box() or {"y": 0})["y"] == place["y"] - 280)
    scroller.evaluate("box => box.scrollTop = box.scrollHeight")
    expect(visit.row("key:999999")).to_be_in_viewport()
    visit.page.locator("#grid").press("Home")

    expect(visit.row("key:0")).to_be_in_viewport()


# ---- what is shown


def test_what_is_stored_is_text(store: ServedDict, at: Callable[..., Visit]) -> None:
    """Markup in a key, a value, metadata and a message is shown as it stands."""
    store.set(MARKUP, {MARKUP: MARKUP}, metadata={MARKUP: MARKUP})
    visit = at()
    visit.open(MARKUP)
    expect(visit.value).to_contain_text(MARKUP)
    expect(visit.page.locator("#metadata")).to_contain_text(MARKUP)
    visit.page.get_by_role("searchbox").fill(MARKUP + "*")
    expect(visit.row(MARKUP)).to_be_visible()
    visit.page.get_by_role("tab", name="Text").click()
    visit.picture("markup")

    visit.button("Delete").click()
    visit.dialog.get_by_role("button", name="Delete").click()
    expect(visit.page.locator("#messages")).to_contain_text("<script>")

    assert visit.page.locator("body img, body script").count() == 0
    assert visit.page.evaluate("window.hacked") is None


def test_a_key_too_long_for_a_request_is_said_to_be(store: ServedDict, at: Callable[..., Visit]) -> None:
    """Its row is there; what cannot be asked for has an error of its own, and the connection is not called lost."""
    store["鍵" * 10_000] = 1
    visit = at()

    visit.page.locator("#row-0").click()

    expect(visit.detail).to_contain_text("too long for the address")
    expect(visit.button("Try again")).to_be_visible()


ODD = {
    "": "empty key",
    ".": ".",
    "..": "..",
    "a/b?c#d%20": "a/b?c#d%20",
    "ключ 鍵": "ключ 鍵",
    "👩‍🚀": "👩‍🚀",
    "tab\tnul\0": "tabTABnulNUL",
    "admin\u202egnp.exe": "adminU+202Egnp.exe",
    "zero\u200bwidth": "zeroU+200Bwidth",
    " ends ": "␣ends␣",
    "half\ud800": "halfU+D800",
    "long" * 2500: "long" * 50 + "…",
    "=s=x": "=s=x",
}


def test_keys_of_any_text(store: ServedDict, at: Callable[..., Visit]) -> None:
    """Each is a row of its own in which nothing is hidden, and can be opened and changed."""
    store.update((key if key != "=s=x" else "=x", index) for index, key in enumerate(ODD))
    visit = at()
    expect(visit.page.locator("#found")).to_have_text(f"{len(ODD)} keys")
    visit.picture("odd-keys")
    assert visit.in_sight() == list(ODD.values())

    for index, shown in enumerate(ODD.values()):
        visit.page.locator(f"#row-{index}").click()
        expect(visit.value).to_have_text(str(index))
        expect(visit.detail.locator("h2")).to_contain_text(shown.rstrip("…"))
        visit.page.keyboard.press("e")
        visit.page.get_by_label("Value", exact=True).fill(f"{index + 100}")
        visit.page.keyboard.press("Control+Enter")
        expect(visit.dialog).to_have_count(0)

    assert list(store.values()) == [index + 100 for index in range(len(ODD))]


def test_bytes_are_shown_in_hexadecimal(store: ServedDict, at: Callable[..., Visit]) -> None:
    """Of large ones the first part; the download has them all."""
    store["photo"] = bytes(range(256)) * 12_000
    visit = at()
    visit.open("photo")

    expect(visit.value).to_contain_text("000010  10 11 12 13 14 15 16 17  18 19 1a 1b 1c 1d 1e 1f  ················")
    expect(visit.value).to_contain_text("0000a0")
    expect(visit.detail).to_contain_text("The first 1.0 MiB of 2.9 MiB.")
    visit.picture("bytes")
    visit.button("Edit").click()
    expect(visit.dialog).to_contain_text("cannot be edited as text")
    visit.page.keyboard.press("Escape")
    with visit.page.expect_download() as download:
        visit.button("Download").click()

    assert Path(download.value.path()).read_bytes() == store["photo"]
    assert download.value.suggested_filename == "photo"


def test_values_are_laid_out_as_they_came(store: ServedDict, at: Callable[..., Visit]) -> None:
    """JSON in colours, a string as its text too, a very long value a part at a time."""
    store["json"] = {"list": list(range(40)), "text": "two\nlines", "none": None, "in": {"deep": [[], {}]}}
    store["string"] = "first\nsecond"
    store["long"] = ["x" * 100] * 5_000
    visit = at()

    visit.open("json")
    assert '  "none": null,\n  "in": {\n    "deep": [\n      [],\n      {}\n    ]\n  }\n}' in visit.value.inner_text()
    expect(visit.value.locator(".j-name").first).to_have_text('"list"')
    visit.open("string")
    visit.page.get_by_role("tab", name="Text").click()
    assert visit.value.inner_text() == "first\nsecond"
    visit.open("long")
    expect(visit.button("Show more (the rest is long)")).to_be_visible()
    before = len(visit.value.inner_text())
    visit.button("Show more (the rest is long)").click()

    assert len(visit.value.inner_text()) > before
    assert visit.value.locator("span").count() < 20_000


# ---- others, and the connection


def test_changes_of_others_are_seen_at_once(store: ServedDict, at: Callable[..., Visit]) -> None:
    """A new key, another value of the one that is open, a deletion; the charts count them."""
    store["watched"] = "one"
    visit = at()
    visit.open("watched")
    expect(visit.page.locator("#link")).to_contain_text("Live")

    store["new"] = "key"
    expect(visit.row("new")).to_be_visible()
    store["watched"] = "two"
    expect(visit.value).to_have_text('"two"')
    expect(visit.row("watched").locator(".size")).to_have_text("5 B")
    del store["watched"]

    expect(visit.row("watched")).to_have_count(0)
    expect(visit.detail).to_contain_text("This key was deleted.")
    expect(visit.page.get_by_role("img", name="3 changes in the last minute")).to_be_visible()


def test_what_is_looked_at_stays_in_place(store: ServedDict, at: Callable[..., Visit]) -> None:
    """Newest first, others add keys: the rows in sight do not move."""
    store.update((f"key:{index:03d}", index) for index in range(500))
    visit = at()
    visit.button("Newest first").click()
    expect(visit.page.locator("#row-0")).to_contain_text("key:499")
    visit.page.locator("#scroller").evaluate("box => box.scrollTop = 28 * 200")
    expect(visit.row("key:299")).to_be_in_viewport()
    place = visit.row("key:299").bounding_box()

    store.update((f"more:{index}", index) for index in range(50))
    expect(visit.page.locator("#found")).to_have_text("550 keys")

    expect(visit.row("key:299")).to_have_attribute("aria-rowindex", "252")
    assert visit.row("key:299").bounding_box() == place


def test_the_page_recovers_when_the_server_was_away(folder: Path, visiting: Callable[..., Visit]) -> None:
    """It says that the connection is lost, and shows what is there when the server is back."""
    with ServedDict(folder) as store:
        store["before"] = 1
    with started(folder) as first:
        visit = visiting(first.url)
        expect(visit.row("before")).to_be_visible()
        expect(visit.page.locator("#link")).to_contain_text("Live")
    expect(visit.page.get_by_role("alert").first).to_contain_text("The connection to the server is lost.")
    visit.picture("lost")
    with ServedDict(folder) as store:
        store["meanwhile"] = 2

    with started(folder, port=urlsplit(first.url).port or 0) as second:
        visit.button("Try now").click()

        assert second.url == first.url
        expect(visit.row("meanwhile")).to_be_visible()
        expect(visit.page.locator("#banner")).to_be_hidden()
        expect(visit.page.locator("#link")).to_contain_text("Live")


def test_a_token_is_asked_for_and_kept(store: ServedDict, visiting: Callable[..., Visit]) -> None:
    """Until the tab is closed; a wrong one is refused; downloads and live changes have it, too."""
    store["secret"] = b"bytes \x00"
    with served_here(store, Settings(token=TOKEN)) as url:
        visit = visiting(url)
        visit.page.get_by_role("textbox", name="Token").fill("a-wrong-token")
        visit.picture("token")
        visit.button("Continue").click()
        expect(visit.dialog).to_contain_text("This token is not accepted.")
        visit.page.get_by_role("textbox", name="Token").fill(TOKEN)
        visit.button("Continue").click()
        expect(visit.row("secret")).to_be_visible()
        visit.page.reload()
        visit.open("secret")
        with visit.page.expect_download() as download:
            visit.button("Download").click()
        store["live"] = 1

        expect(visit.row("live")).to_be_visible()
        assert Path(download.value.path()).read_bytes() == store["secret"]
        visit.page.context.close()


def test_slow_answers_are_waited_for(store: ServedDict, served: str, visiting: Callable[..., Visit]) -> None:
    """Rows that are about to come have a place; Enter means the one that comes."""
    store["k"] = "value"
    held: list[Route] = []
    visit = visiting(served, keys=lambda route: held.append(route))

    expect(visit.page.locator("#rows .coming").first).to_be_visible()
    expect(visit.page.locator("#busy")).to_be_visible()
    visit.picture("waiting")
    for route in held:
        route.continue_()

    expect(visit.row("k")).to_be_visible()
    expect(visit.page.locator("#busy")).to_be_hidden()


# ---- who uses it, and where


def test_a_change_by_others_leaves_the_active_row(store: ServedDict, at: Callable[..., Visit]) -> None:
    """Who has walked to a row is still there when the list is drawn anew, and deletes that key and no other."""
    store.update((f"key:{index}", index) for index in range(9))
    visit = at()
    expect(visit.row("key:8")).to_be_visible()
    visit.page.locator("#grid").focus()
    for _ in range(4):
        visit.page.keyboard.press("ArrowDown")
    store["new"] = 1
    expect(visit.page.locator("#found")).to_have_text("10 keys")

    expect(visit.page.locator("#grid")).to_have_attribute("aria-activedescendant", "row-4")
    visit.page.keyboard.press("Delete")
    expect(visit.dialog).to_contain_text("key:4")


def test_the_keyboard_is_enough(store: ServedDict, at: Callable[..., Visit]) -> None:
    """Search, walk, open, edit, close, delete; the focus is where it is needed, and seen."""
    store.update((f"key:{index}", index) for index in range(200))
    visit = at()
    expect(visit.row("key:0")).to_be_visible()
    press = visit.page.keyboard.press

    press("/")
    visit.page.keyboard.type("key:1?")
    press("Enter")
    expect(visit.page.locator("#grid")).to_be_focused()
    expect(visit.page.locator("#found")).to_have_text("10 found")
    press("ArrowDown")
    press("ArrowDown")
    press("Enter")
    expect(visit.value).to_have_text("12")
    expect(visit.detail).to_be_focused()
    press("e")
    press("Control+a")
    visit.page.keyboard.type('{"by": "hand"}')
    press("Control+Enter")
    expect(visit.value).to_have_text('{"by": "hand"}')
    visit.picture("keyboard")
    press("Escape")
    expect(visit.page.locator("#grid")).to_be_focused()
    press("End")
    press("ArrowUp")
    expect(visit.page.locator("#grid")).to_have_attribute("aria-activedescendant", "row-8")
    outline = visit.page.locator("#grid").evaluate("grid => getComputedStyle(grid).outlineStyle")
    press("Delete")
    expect(visit.dialog.get_by_role("button", name="Cancel")).to_be_focused()
    press("Tab")
    press("Enter")
    expect(visit.page.locator("#found")).to_have_text("9 found")
    press("/")
    press("Escape")
    expect(visit.page.locator("#found")).to_have_text("199 keys")

    assert outline == "solid"
    assert store["key:12"] == {"by": "hand"}
    assert "key:18" not in store


def test_every_control_has_a_name(store: ServedDict, at: Callable[..., Visit]) -> None:
    """For those who hear the page: buttons, fields, charts; rows say where they are, the table how long it is."""
    store["k"] = 1
    visit = at()
    visit.open("k")
    visit.button("New key").click()
    controls = visit.page.locator("button:not([hidden]), input, textarea, pre, [role=grid], [role=img]")
    named = "it.labels?.length || it.ariaLabel || it.getAttribute('aria-labelledby') || it.textContent.trim()"

    assert controls.evaluate_all(f"all => all.filter(it => !({named})).map(it => it.outerHTML)") == []
    expect(visit.page.locator("#grid")).to_have_attribute("aria-rowcount", "2")
    expect(visit.row("k")).to_have_attribute("aria-rowindex", "2")
    expect(visit.page.locator("#messages")).to_have_attribute("aria-live", "polite")


def test_a_phone_is_wide_enough(store: ServedDict, at: Callable[..., Visit]) -> None:
    """At 360 pixels nothing has to be moved sideways, whatever is open."""
    store.set("a rather long key that does not fit into the width of a phone", {"text": "x" * 300}, ttl=4000)
    store["bytes"] = bytes(range(256))
    store["b" * 5_000] = 1
    visit = at(wide=360, high=740)
    expect(visit.row("bytes")).to_be_visible()
    wide = "document.documentElement.scrollWidth"

    visit.button("Statistics").click()
    expect(visit.page.locator(".tile")).to_have_count(4)
    visit.picture("phone")
    assert visit.page.evaluate(wide) == 360
    for index, name in enumerate(("json", "bytes", "long")):
        visit.page.locator(f"#row-{index}").click()
        expect(visit.value).to_be_visible()
        visit.picture(f"phone-{name}")
        assert visit.page.evaluate(wide) == 360
        assert visit.detail.evaluate("it => it.scrollWidth <= it.clientWidth")
        visit.button("Edit").click()
        visit.picture(f"phone-edit-{name}")
        assert visit.dialog.evaluate("it => it.scrollWidth <= it.clientWidth")
        visit.page.keyboard.press("Escape")
        visit.page.go_back()
        expect(visit.detail).to_be_hidden()


def test_light_and_dark(store: ServedDict, at: Callable[..., Visit]) -> None:
    """As the system has it, until somebody chooses; the choice is kept."""
    store.set("k", {"name": "Ada", "born": 1815, "known": True, "died": None}, ttl=4000, metadata={"by": "me"})
    visit = at(scheme="dark")
    paper = "() => getComputedStyle(document.querySelector('#list')).backgroundColor"
    visit.open("k")
    visit.picture("dark")
    dark = visit.page.evaluate(paper)

    visit.page.get_by_role("button", name="Light or dark").click()
    light = visit.page.evaluate(paper)
    visit.page.reload()

    assert (dark, light) == ("rgb(21, 24, 27)", "rgb(255, 255, 255)")
    assert visit.page.evaluate(paper) == light


def test_a_link_opens_a_key(store: ServedDict, at: Callable[..., Visit], served: str) -> None:
    """The address names what is open, and going back closes it."""
    store["a/b\n"] = "here"
    visit = at()
    visit.page.locator("#row-0").click()
    expect(visit.value).to_have_text('"here"')
    address = visit.page.url
    visit.page.go_back()
    expect(visit.detail).to_be_hidden()

    visit.page.goto("about:blank")
    visit.page.goto(address)

    expect(visit.value).to_have_text('"here"')
