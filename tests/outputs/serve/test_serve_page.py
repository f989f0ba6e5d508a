"""The page in a real Chromium, fed by the bundled clip: what a person sees, presses and hears."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from websockets.sync.client import connect

from mdhr_sdk import AUDetector
from mdhr_sdk.outputs.serve import Calibrate, Mark, ServeSink
from mdhr_sdk.results import FrameResult, SourceStatus
from processes import ROOT, finished, started, until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")]


@pytest.fixture(scope="module")
def results(demo_path: Path) -> list[FrameResult]:
    """Real results with pictures: the seconds of the clip in which the face raises its brows, then smiles."""
    with AUDetector.from_pretrained("edge", mode="stream") as detector:
        stream = detector.stream(demo_path, lookahead=2, images=True)
        return [frame for frame, _ in zip(stream, range(170), strict=False)]


class Feeder:
    """Gives results to a sink at the clip's pace, over and over, in a thread."""

    def __init__(self, sink: ServeSink, results: list[FrameResult]) -> None:
        self.sink, self.results, self.going, self.status = sink, results, threading.Event(), SourceStatus(state="live")
        sink.status = lambda: {"door": self.status}
        self.going.set()
        self.ended = self.waits = False
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self) -> None:
        while not self.ended:
            for result in self.results:
                while not self.going.wait(0.05):
                    self.waits = True
                if self.ended:
                    return
                self.last = replace(result, source="door", delay_ms=90.0)
                self.sink.write(self.last)
                time.sleep(0.04)

    def end(self) -> None:
        self.ended = True
        self.going.set()
        self.thread.join()


@pytest.fixture
def sink() -> Iterator[ServeSink]:
    with ServeSink(port=0) as sink:
        yield sink


@pytest.fixture
def feeder(sink: ServeSink, results: list[FrameResult]) -> Iterator[Feeder]:
    feeder = Feeder(sink, results)
    yield feeder
    feeder.end()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(browser: Browser, sink: ServeSink, feeder: Feeder, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The page; the test fails if it asked another host, or wrote an error to its console."""
    context = browser.new_context(**getattr(request, "param", {}))
    page, wrong = context.new_page(), []
    page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda asked: None if f":{sink.port}/" in asked.url or asked.url.startswith("blob:")
            else wrong.append(asked.url))  # fmt: skip
    page.goto(sink.url)
    page.get_by_role("article").wait_for()
    yield page
    context.close()
    assert wrong == []


def shows(page: Page, expression: str) -> None:
    """Wait until it is true. Playwright's own wait is refused by the page, which allows no eval."""
    until(lambda: page.evaluate(f"() => {expression}"), 60)


def coloured(page: Page, selector: str) -> int:
    """How many different colours a canvas has."""
    return page.evaluate(
        """(selector) => {
            const canvas = document.querySelector(selector);
            const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            return new Set(new Uint32Array(data.buffer)).size;
        }""",
        selector,
    )


def test_the_page_shows_the_source_its_picture_and_its_scores(opened: Page, feeder: Feeder, sink: ServeSink) -> None:
    page = opened
    shows(page, "document.querySelectorAll('.au.on').length >= 2")
    shows(page, "!document.querySelector('.picture canvas').hidden")
    assert page.locator(".source h2").inner_text() == "door"
    assert page.locator(".source .chip").inner_text() == "● live"
    shows(page, "document.querySelector('.facts').textContent.includes('delay 90 ms, p99 90 ms')")
    assert page.locator("#model").inner_text() == feeder.results[0].model.tag
    codes = page.locator(".au .code").all_inner_texts()
    assert codes == list(feeder.results[0].faces[0].aus)
    size = page.evaluate("[document.querySelector('.picture canvas').width, document.querySelector('canvas').height]")
    assert size == [320, 320] and coloured(page, ".picture canvas") > 1000 and coloured(page, ".face canvas") > 10
    # Numbers, once nothing moves: those of the result that was written last.
    feeder.going.clear()
    until(lambda: feeder.waits)
    last = feeder.last.faces[0]
    values = "[...document.querySelectorAll('[role=meter]')].map((one) => Number(one.getAttribute('aria-valuenow')))"
    until(lambda: page.evaluate(values) == pytest.approx([one.probability for one in last.aus.values()], abs=0.0051))
    for meter in page.get_by_role("meter").all():
        code = (meter.get_attribute("aria-label") or "")[:4]
        shown = float(meter.get_attribute("aria-valuenow") or "nan")
        assert shown == pytest.approx(last[code].probability, abs=0.0051)
        assert ("on" in (meter.get_attribute("class") or "").split()) == last[code].occurrence
        assert (meter.locator(".dot").inner_text() == "●") == last[code].occurrence  # not by colour alone


def test_states_silence_and_the_end_of_the_program_are_told(opened: Page, feeder: Feeder, sink: ServeSink) -> None:
    chip = opened.locator(".source .chip")
    feeder.status = SourceStatus(state="reconnecting", reason="the server closed the connection")
    shows(opened, "document.querySelector('.source .chip').textContent === '↻ reconnecting'")
    assert opened.locator(".reason").inner_text() == "the server closed the connection"
    feeder.status = SourceStatus(state="live")
    feeder.going.clear()
    shows(opened, "document.querySelector('.source .chip').textContent === '▲ silent'")
    assert re.fullmatch(r"no result for \d+ s", opened.locator(".reason").inner_text())
    shows(opened, "document.querySelector('.face .told').textContent === 'away'")
    feeder.end()
    sink.close()
    shows(opened, "document.querySelector('#link').textContent === '✕ not connected'")
    assert chip.inner_text() == "■ ended"


def test_sources_stand_in_the_order_of_the_command(opened: Page, feeder: Feeder, sink: ServeSink) -> None:
    sink.status = lambda: {"first": SourceStatus(state="connecting"), "door": feeder.status}
    until(lambda: opened.locator("#sources h2").all_text_contents() == ["first", "door"])


def test_a_program_that_is_killed_is_no_live_source(browser: Browser) -> None:
    """The page stays, says that there is no connection, and goes on by itself when the program is back."""
    words = (sys.executable, ROOT / "examples" / "serve_demo.py", "--port")
    page = browser.new_page()
    with started((*words, 0), stdout=subprocess.PIPE) as process:
        url = process.stdout.readline().strip()
        page.goto(url)
        shows(page, "document.querySelector('.source .chip')?.textContent === '● live'")
    shows(page, "document.querySelector('.reason').textContent === 'no connection to the program'")
    assert page.locator(".source .chip").inner_text() == "▲ silent"
    with started((*words, url.split(":")[2].strip("/")), stdout=subprocess.PIPE):
        shows(page, "document.querySelector('.source .chip').textContent === '● live'")
    page.close()


def test_buttons_and_keys_are_commands(opened: Page, sink: ServeSink) -> None:
    opened.get_by_role("button", name="Calibrate neutral for face 0").click()
    assert sink.commands.get(timeout=30) == Calibrate("door", 0)
    opened.keyboard.press("n")
    assert sink.commands.get(timeout=30) == Calibrate("", None)
    opened.get_by_label("Mark this moment", exact=True).fill("she laughs")
    opened.keyboard.press("Enter")
    mark = sink.commands.get(timeout=30)
    assert isinstance(mark, Mark) and (mark.source, mark.text) == ("", "she laughs")
    opened.locator("#events li.mark").wait_for()
    assert "▼ she laughs" in opened.locator("#events li.mark").inner_text()
    opened.evaluate("document.activeElement.blur()")
    opened.keyboard.press("m")
    assert sink.commands.get(timeout=30).text == ""
    stops = []
    for _ in range(12):
        opened.keyboard.press("Tab")
        stops.append(opened.evaluate("document.activeElement.getAttribute('aria-label') || document.activeElement.id"))
    assert {"Calibrate neutral for face 0", "Mark this moment in door", "note"} <= set(stops)


def test_the_address_with_the_token_opens_the_page_once_and_for_all(browser: Browser, frame: Any) -> None:
    """From a link on another site, too; the address that stays has no token."""
    context = browser.new_context()
    page = context.new_page()
    with ServeSink(port=0, token="0123456789abcdef0123") as sink:
        assert page.goto(f"http://localhost:{sink.port}/").status == 401
        page.set_content(f'<a href="{sink.url}">the page</a>')
        page.get_by_text("the page").click()
        shows(page, "document.querySelector('#link')?.textContent === '● connected'")
        sink.write(replace(frame(0), image=np.zeros((90, 160, 3), np.uint8)))
        shows(page, "document.querySelector('.picture canvas')?.hidden === false")
        assert page.url == f"http://127.0.0.1:{sink.port}/"
        assert context.new_page().goto(page.url).status == 200
    context.close()


PHONE = {"viewport": {"width": 375, "height": 740}, "device_scale_factor": 2, "color_scheme": "dark", "is_mobile": True}


@pytest.mark.parametrize("opened", [PHONE, {"viewport": {"width": 820, "height": 1100}}], indirect=True)
def test_it_fits_a_phone_and_a_tablet(opened: Page) -> None:
    shows(opened, "!document.querySelector('.picture canvas').hidden")
    width = opened.viewport_size["width"]
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    beyond = """[...document.querySelectorAll('button, canvas, .au > *, input')]
        .filter((one) => one.getBoundingClientRect().right > innerWidth + 0.5).map((one) => one.outerHTML)"""
    assert opened.evaluate(beyond) == []
    low = "[...document.querySelectorAll('button')].map((one) => one.getBoundingClientRect().height)"
    assert min(opened.evaluate(low)) >= (40 if width < 400 else 32)
    assert opened.evaluate("document.querySelector('.face canvas').clientWidth") >= 90


def test_a_hidden_page_asks_for_no_pictures(opened: Page, sink: ServeSink) -> None:
    shows(opened, "!document.querySelector('.picture canvas').hidden")
    opened.evaluate("""Object.defineProperty(document, "hidden", {value: true});
                       document.dispatchEvent(new Event("visibilitychange"))""")

    def no_more() -> bool:
        made = sink._pictures.made
        time.sleep(1)
        return sink._pictures.made == made

    until(no_more)  # after the one that was on its way


def test_a_script_in_a_name_stays_text(browser: Browser, sink: ServeSink, results: list[FrameResult]) -> None:
    name = "<img src=x onerror=document.title='bad'>"
    sink.write(replace(results[0], source=name, image=None))
    page: Any = browser.new_page()
    page.goto(sink.url)
    page.get_by_role("article").wait_for()
    assert page.locator(".source h2").inner_text() == name and page.title() == "mdhr live"
    page.close()


def test_the_example_serves_the_clip_as_if_it_were_live() -> None:
    words = (sys.executable, ROOT / "examples" / "serve_demo.py", "--port", 0, "--seconds", 6)
    with started(words, stdout=subprocess.PIPE) as process:
        url = process.stdout.readline().strip()
        with connect(f"ws{url[4:]}ws", proxy=None) as client:
            messages = (json.loads(client.recv(timeout=60)) for _ in range(10000))
            frame = next(one for one in messages if one["type"] == "frame")
        assert frame["source"] == "demo" and frame["captured_at"] and frame["faces"]
        assert finished(process).returncode == 0
