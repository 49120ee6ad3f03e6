"""What a person sees and does, in a real Chromium."""

import threading
import time
from dataclasses import replace

import made
import pages
import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import chromium, page_of

from edge.contract import Accounting, Health
from edge.web.standing import NodeStanding

FIRST_PAINT_MS = 1000
MOST_BYTES = 300 * 1024
SCREENS = {
    "dark": {"color_scheme": "dark"},
    "light": {"color_scheme": "light"},
    "phone": {"width": 390, "height": 844, "device_scale_factor": 2, "color_scheme": "dark"},
}
RULES = {
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
}


@pytest.fixture(scope="module")
def browser():
    with chromium() as one:
        yield one


@pytest.fixture
def site(tmp_path):
    with pages.site(tmp_path / "clips") as one:
        parts = {"broker": Health(level="ok", message="connected", since="2026-11-26T10:00:00Z")}
        node = NodeStanding(parts=parts, outbox={"event": Accounting(queued=3)})
        one.page.later(lambda: one.page.board.look_at_node("truck1", node))
        for seq in range(1, 6):
            one.page(made.tick(seq, seq - 1.0))
        one.page(made.event_message(1, "end", count=1))
        later = made.event_message(2, "new", count=2, label="golf")
        one.page(replace(later, start_ns=later.start_ns + 10**9, class_index=2))
        settle(one)
        yield one


def settle(site) -> None:
    done = threading.Event()
    site.page.later(done.set)
    assert done.wait(5)


@pytest.fixture
def page(browser, site):
    with page_of(browser, site.page.address, pages.TOKEN) as one:
        one.wait_for_selector("#classes tr")
        yield one


def cell(page, label: str, column: int) -> str:
    row = page.locator("#classes tr", has=page.get_by_role("rowheader", name=label))
    return row.locator("td").nth(column).inner_text().strip()


class TestNow:
    def test_shows_the_decision_and_a_bar_for_each_judge(self, page):
        assert page.inner_text("#label") == "badminton"
        assert page.inner_text("#score") == "83%"
        assert "row “badminton” · 1 of 3 agree" in page.inner_text("#why")
        assert [cell(page, "badminton", column) for column in range(4)] == ["83%", "14%", "33%", "83%"]
        bar = page.locator("#classes tr").first.locator("i").first
        assert bar.evaluate(
            "bar => bar.getBoundingClientRect().width / bar.parentElement.clientWidth"
        ) == pytest.approx(0.83, abs=0.01)

    def test_follows_the_stream(self, page, site):
        site.page(replace(made.tick(9, 8.0), label="golf", class_index=2, score=0.91))
        page.wait_for_selector("#label:text-is('golf')", timeout=3000)
        assert page.inner_text("#score") == "91%"

    def test_charts_the_last_minute(self, page):
        painted = page.evaluate(
            """() => [...document.querySelectorAll('#charts canvas')].map((canvas) => canvas.getContext('2d')
                .getImageData(0, 0, canvas.width, canvas.height).data.some((value) => value > 0))"""
        )
        assert painted == [True] * 4
        assert "now badminton at 83%" in page.get_attribute("#chart-fused", "aria-label")

    def test_asks_for_the_picture_of_the_source(self, page):
        page.wait_for_selector("#no-picture", state="visible")  # the test's is no JPEG
        assert page.get_attribute("#picture", "alt") == "Live picture of cam2"


class TestFaults:
    def test_are_flagged_within_three_seconds_and_taken_back(self, page, site):
        assert page.is_hidden("#alarm")
        good = site.media.now
        site.media.now = replace(good, level="error", state="stalled", message="no picture for 2 s")
        page.wait_for_selector("#alarm:has-text('cam2: stalled: no picture for 2 s')", timeout=3000)
        assert page.title().startswith("⚠")
        site.media.now = good
        page.wait_for_selector("#alarm", state="hidden", timeout=5000)

    def test_of_the_broker_too(self, page, site):
        health = Health(level="error", message="mqtt broker localhost: connection refused", since="")
        site.page.later(lambda: site.page.board.report("truck1", "broker", health))
        page.wait_for_selector("#alarm:has-text('connection refused')", timeout=3000)

    def test_of_the_connection_are_said_and_it_comes_back(self, browser):
        with pages.site() as first:
            port = first.port
            first.page(made.tick())
            with page_of(browser, first.page.address, pages.TOKEN) as page:
                page.wait_for_selector("#classes tr")
                first.page.close()
                page.wait_for_selector("#alarm:has-text('No connection to the device')", timeout=8000)
                with pages.site(address=f"127.0.0.1:{port}") as again:
                    again.page(replace(made.tick(), label="golf"))
                    page.wait_for_selector("#label:text-is('golf')", timeout=15000)
                    assert page.is_hidden("#alarm")


class TestEvents:
    def test_are_listed_newest_first(self, page):
        assert page.locator("#list strong span:first-child").all_inner_texts() == ["golf", "badminton"]
        assert page.inner_text("#count") == "2 events"

    @pytest.mark.parametrize(("press", "verdict"), [
        (lambda page: page.click("#correct"), {"verdict": "ack", "label": None}),
        (lambda page: page.keyboard.press("w"), {"verdict": "wrong", "label": None}),
        (lambda page: (page.select_option("#truth", "tennis"), page.click("#was button")),
         {"verdict": "label", "label": "tennis"}),
    ], ids=["correct", "wrong", "it was"])  # fmt: skip
    def test_are_judged(self, page, site, press, verdict):
        page.click("#list button:has-text('golf')")
        press(page)
        page.wait_for_selector("#answer:has-text('Kept')")
        feedback, card = site.said[0]
        assert {"verdict": feedback.verdict, "label": feedback.label} == verdict
        assert card.event.label == "golf"

    def test_that_cannot_be_kept_say_why(self, page, site):
        site.failure = OSError(28, "No space left on device")
        page.click("#list button >> nth=0")
        page.click("#correct")
        page.wait_for_selector("#answer:has-text('Not kept: could not be kept (no space left on device)')")

    def test_are_walked_by_keyboard_alone(self, page):
        page.focus(".skip")
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        first = page.inner_text("#event-title")
        page.keyboard.press("ArrowRight")
        assert page.inner_text("#event-title") != first
        page.keyboard.press("Escape")
        assert not page.evaluate("document.getElementById('event').open")
        assert page.evaluate("document.activeElement.closest('#list') !== null")


class TestEverybody:
    @pytest.mark.parametrize("screen", SCREENS)
    def test_can_read_it(self, browser, site, screen):
        with page_of(browser, site.page.address, pages.TOKEN, reduced_motion="reduce", **SCREENS[screen]) as page:
            page.wait_for_selector("#classes tr")
            problems = Axe().run(page, options=RULES)
            assert problems.violations_count == 0, problems.generate_report()
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            page.click("#list button >> nth=0")
            problems = Axe().run(page, options=RULES)
            assert problems.violations_count == 0, problems.generate_report()

    def test_can_log_in(self, browser, site):
        page = browser.new_page()
        page.goto(site.page.address)
        assert Axe().run(page, options=RULES).violations_count == 0
        page.close()

    def test_may_want_no_motion(self, browser, site):
        with page_of(browser, site.page.address, pages.TOKEN, reduced_motion="reduce") as page:
            page.wait_for_selector("#classes tr")
            assert page.locator(".bar i").first.evaluate("bar => getComputedStyle(bar).transitionDuration") == "0s"

    def test_may_choose_colours(self, page):
        page.click("#theme")
        assert page.evaluate("document.documentElement.dataset.theme") == "dark"
        page.reload()
        page.wait_for_selector("#classes tr")
        assert page.evaluate("document.documentElement.dataset.theme") == "dark"


@pytest.mark.alone
def test_page_is_soon_there_and_small(browser, site):
    with page_of(browser, site.page.address, pages.TOKEN) as page:
        took, before = min(loaded(page, site.page.address) for _ in range(5))
    assert took <= FIRST_PAINT_MS
    assert 10_000 < before <= MOST_BYTES


def loaded(page, url) -> tuple[float, int]:
    """Milliseconds until the bars are there and painted, and the bytes of all but pictures."""
    sizes = []

    def count(request) -> None:
        sizes.append(0 if "picture.jpg" in request.url else request.sizes()["responseBodySize"])

    page.on("requestfinished", count)
    began = time.monotonic()
    page.goto(url)
    page.wait_for_selector("#classes tr")
    took = 1000 * (time.monotonic() - began)
    page.remove_listener("requestfinished", count)
    paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    return max(took, paint), sum(sizes)
