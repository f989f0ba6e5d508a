"""Shows the served page without a camera: the bundled clip, played over and over as if it were live.

    python examples/serve_demo.py
    python examples/serve_demo.py --seconds 45 --picture page.png

Open the address that it prints. `--picture` keeps a picture of the page: it needs Playwright and a Chromium.
"""

from __future__ import annotations

import argparse
import queue
import shutil
import threading
import time
from contextlib import suppress
from pathlib import Path

import mdhr_sdk
from mdhr_sdk import AUDetector, Calibrate, ResultStream, ServeSink

CLIP = Path(mdhr_sdk.__file__).parent / "assets" / "demo.mp4"


def show(sink: ServeSink, ends_s: float) -> None:
    """Score the clip at its own pace, over and over, until the clock says `ends_s`."""
    with AUDetector.from_pretrained("edge", mode="stream") as detector:
        while time.monotonic() < ends_s:
            clip = {"demo": f"{CLIP}#realtime"}
            with detector.stream(clip, lookahead=2, images=True, calibrate_neutral_s=1.0) as stream:
                sink.status = lambda stream=stream: stream.status
                for frame in stream:
                    sink.write(frame)
                    obey(sink, stream)
                    if time.monotonic() > ends_s:
                        return


def obey(sink: ServeSink, stream: ResultStream) -> None:
    """Do what the page's buttons ask for; marks are shown by the page itself."""
    with suppress(queue.Empty):
        command = sink.commands.get_nowait()
        if isinstance(command, Calibrate):
            stream.calibrate(command.source or None, command.track_id)


def keep_picture(url: str, path: str, scheme: str) -> None:
    """The page in a window of 1280 x 690 pixels, as a file."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium)
        page = browser.new_page(viewport={"width": 1280, "height": 690}, color_scheme=scheme)
        page.goto(url)
        page.get_by_label("Mark this moment", exact=True).fill("looks at the camera")
        page.keyboard.press("Enter")
        page.locator("h1").click()
        page.wait_for_timeout(5000)
        page.locator(".source:not(.still) .told", has_text="relative to neutral").wait_for()  # not between two rounds
        page.locator(".au.on").nth(1).wait_for()
        page.screenshot(path=path)
        browser.close()


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--port", type=int, default=8000)
    asked.add_argument("--seconds", type=float, default=float("inf"), help="how long it goes on")
    asked.add_argument("--picture", help="file for a picture of the page at the end")
    asked.add_argument("--scheme", choices=("light", "dark"), default="light")
    words = asked.parse_args()
    if words.picture and words.seconds == float("inf"):
        asked.error("--picture needs --seconds, as in --seconds 45 --picture page.png")
    with ServeSink(port=words.port) as sink:
        print(sink.url, flush=True)
        ends_s = time.monotonic() + words.seconds
        playing = threading.Thread(target=show, args=(sink, ends_s), daemon=True)
        playing.start()
        try:
            if words.picture:
                time.sleep(max(0.0, words.seconds - 20))
                keep_picture(sink.url, words.picture, words.scheme)
            playing.join()
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()
