"""How late live results are, whether they say so truly, and how fast a source comes back.

    python -m benchmarks.live.delay --sources 4 --seconds 60 --consumer-ms 50
    python -m benchmarks.live.delay --lookahead 0 2 7 --stages
    python -m benchmarks.live.delay --kills 50
    python -m benchmarks.live.delay --url rtsp://127.0.0.1:8554/cam --seconds 60

Servers are processes of `server.py` on the loopback, unless `--url` names one whose pictures are stamped as theirs
are, or as 40 blocks of 16 pixels (`--wide-stamp`). The delay is that between the stamp in the picture and the moment
at which the loop has the result; `--stages` tells where it goes. The bar is a p99 of the lookahead, in frames of the
source, and 300 ms. `--kills` kills the server (SIGKILL), starts it again after a random pause, and takes
the time from its first answer to the first new result.
"""

from __future__ import annotations

import argparse
import random
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from benchmarks.live.server import Image, read_stamp
from benchmarks.live.stages import stamped
from mdhr_sdk import AUDetector
from mdhr_sdk.results import FrameResult, SourceStatus

FPS = 25
SERVER = Path(__file__).with_name("server.py")
WARM_S = 3.0  # of each source that do not count: the first step of a model takes longer


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


def serve(port: int) -> subprocess.Popen[bytes]:
    """A server; returns once it answers."""
    process = subprocess.Popen(
        [sys.executable, str(SERVER), str(port), "--fps", str(FPS), "--seconds", "3600"], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


def stamp_ms(image: Image, wide: bool) -> int:
    """The picture's time in milliseconds, modulo 2**40."""
    if not wide:
        return read_stamp(image)[0]
    return sum(int(image[3, 16 * bit + 8].mean() > 127) << bit for bit in range(40))


def true_delay_ms(result: FrameResult, wide: bool) -> float:
    assert result.image is not None
    now = time.time() * 1000
    return now - (stamp_ms(result.image, wide) | int(now) >> 40 << 40)


def show_counts(status: dict[str, SourceStatus]) -> None:
    for name, one in sorted(status.items()):
        by = ", ".join(f"{count} {why}" for why, count in sorted(one.dropped_by.items())) or "none"
        print(f"{name}: captured {one.captured} = scored {one.scored} + dropped {one.dropped} ({by})")
        assert one.captured == one.scored + one.dropped


def delays(detector: AUDetector, urls: list[str], lookahead: int, given: argparse.Namespace) -> None:
    """Read the sources for so long with a loop that takes so long, and print the delays."""
    rows: list[tuple[float, float, float]] = []
    seconds, consumer_ms, wide = given.seconds, given.consumer_ms, given.wide_stamp
    begun = dict[str, float]()  # source -> time of its first result: starting the face models takes a while
    stream = detector.stream({f"source {i}": url for i, url in enumerate(urls)}, lookahead, images=True)
    with stamped() as stamps, stream:
        for result in stream:
            begun.setdefault(result.source, time.monotonic())
            now_s = time.monotonic() - max(begun.values()) if len(begun) == len(urls) else 0.0
            if not result.stale and now_s > WARM_S:
                rows.append((now_s, true_delay_ms(result, wide), result.delay_ms))
                stamps.count(result, rows[-1][1], time.perf_counter())
            time.sleep(consumer_ms / 1000)
            if now_s > seconds:
                break
    times, true, told = np.array(rows).T
    off = np.abs(told - true)
    first, last = true[times < WARM_S + 10], true[times > times[-1] - 10]
    print(
        f"{len(urls)} sources, {len(rows)} results in {seconds:g} s, lookahead {lookahead}, {consumer_ms:g} ms a result"
    )
    p99_ms, bar_ms = np.percentile(true, 99), 1000 * lookahead / FPS + 300
    print(f"true delay p50 {np.median(true):.0f} ms, p99 {p99_ms:.0f} ms; the bar is {bar_ms:.0f} ms")
    print(f"first 10 s p50 {np.median(first):.0f} ms, last 10 s p50 {np.median(last):.0f} ms")
    print(f"delay_ms is off by p50 {np.median(off):.1f} ms, p95 {np.percentile(off, 95):.1f} ms")
    if given.stages:
        stamps.show()
    show_counts(dict(stream.status))


def kills(detector: AUDetector, count: int, seed: int) -> None:
    """Kill the server so many times, and print how long it takes to be live again."""
    port, chosen, back_s = free_port(), random.Random(seed), list[float]()
    with ExitStack() as stack:
        server = serve(port)
        stack.callback(lambda: server.kill())
        stream = stack.enter_context(detector.stream(f"http://127.0.0.1:{port}/live", 0))
        for number in range(count):
            until_s = time.monotonic() + chosen.uniform(0.2, 1.5)
            while time.monotonic() < until_s:
                next(stream)
            server.send_signal(signal.SIGKILL)
            server.wait()
            time.sleep(chosen.uniform(0.0, 3.0))
            server = serve(port)
            began_s, began = time.monotonic(), time.time()
            while (one := next(stream)).stale or one.captured_at is None or one.captured_at.timestamp() < began:
                pass
            back_s.append(time.monotonic() - began_s)
            if (number + 1) % 10 == 0:
                print(f"{number + 1} kills, slowest return {max(back_s):.2f} s", file=sys.stderr, flush=True)
    print(f"{count} kills: live again after p50 {np.median(back_s):.2f} s, at most {max(back_s):.2f} s")
    print(f"{sum(one.reconnects for one in stream.status.values())} reconnects")
    show_counts(dict(stream.status))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="edge")
    parser.add_argument("--sources", type=int, default=1)
    parser.add_argument("--url", action="append", help="of a running server; may come several times")
    parser.add_argument("--wide-stamp", action="store_true")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--consumer-ms", type=float, default=50.0, help="how long the loop takes for a result")
    parser.add_argument("--lookahead", type=int, nargs="+", default=[7], help="one run each")
    parser.add_argument("--stages", action="store_true", help="tell where the delay goes")
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with ExitStack() as stack:
        detector = stack.enter_context(AUDetector.from_pretrained(given.model, mode="stream", threads=1))
        if given.kills:
            kills(detector, given.kills, given.seed)
            return
        urls = given.url or []
        for port in [free_port() for _ in range(0 if urls else given.sources)]:
            stack.callback(serve(port).kill)
            urls.append(f"http://127.0.0.1:{port}/live")
        for lookahead in given.lookahead:
            delays(detector, urls, lookahead, given)


if __name__ == "__main__":
    main()
