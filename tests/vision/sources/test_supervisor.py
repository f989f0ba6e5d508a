"""Live sources that are read by a process of their own: what they say of themselves, and how they come back."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmarks.live.server import LiveServer, age_ms, read_stamp, write_stamp
from made_videos import numbered, write_video
from mdhr_sdk.errors import SourceError
from mdhr_sdk.vision import Frame, list_sources
from mdhr_sdk.vision.sources.live.address import live_source
from mdhr_sdk.vision.sources.live.health import Patience
from mdhr_sdk.vision.sources.live.supervisor import Supervisor
from mdhr_sdk.vision.sources.live.timing import Backlog, OwnClock
from processes import ROOT, TIMEOUT_S, alive, environment, finished, started, until

AGAIN = Patience()


def plain(index: int) -> np.ndarray:
    return np.full((64, 192, 3), index % 256, np.uint8)


@pytest.fixture
def server() -> Iterator[LiveServer]:
    with LiveServer(plain, fps=50) as one:
        yield one


class Watched:
    """A supervisor and the frames that it gave."""

    def __init__(self, given: object, patience: Patience = AGAIN) -> None:
        (self.source,) = list_sources(given)
        assert self.source.spec is not None
        self.dropped: Counter[str] = Counter()
        self.supervisor = Supervisor(self.source, self.source.spec, patience, self.dropped.update)

    def __enter__(self) -> Watched:
        self.supervisor.__enter__()
        self.frames = iter(self.supervisor)
        return self

    def __exit__(self, *_: object) -> None:
        self.supervisor.__exit__()

    def next(self, stale: bool = False) -> Frame:
        """The next frame that is news, or the next one that is stale."""
        end_s = time.monotonic() + TIMEOUT_S
        while time.monotonic() < end_s:
            frame = next(self.frames)
            if frame.stale == stale:
                return frame
        pytest.fail("it never came")


def test_it_is_live_again_after_its_server_and_its_process_were_killed(server: LiveServer, caplog):
    caplog.set_level("INFO", "mdhr_sdk")
    with Watched(server.url) as run:
        first = run.next()
        assert run.supervisor.health.state == "live" and run.source.info.live and not first.breaks
        assert first.captured_at is not None and 0 <= time.time() - first.captured_at.timestamp() < TIMEOUT_S
        for _ in range(3):
            frame = run.next()
            since_ms = 1e3 * (time.perf_counter() - frame.read_s)
            assert 0 <= since_ms < age_ms(frame.image) + 2, "it arrived after it was drawn, and before now"
        take = read_stamp(frame.image)[1]
        server.stop()
        until(lambda: run.next(stale=True) and "cannot open stream" in run.supervisor.health.reason)
        assert run.supervisor.health.state in ("lost", "reconnecting")
        server.start()
        back = run.next()
        assert back.breaks and back.timestamp_s > frame.timestamp_s and read_stamp(back.image)[1] > take
        assert (run.supervisor.health.state, run.supervisor.health.reconnects) == ("live", 1)
        os.kill(run.supervisor._capture.pid, signal.SIGKILL)
        while run.supervisor.health.reconnects == 1:
            frame = run.next()
        assert frame.breaks and run.supervisor.health.reconnects == 2
        pid = run.supervisor._capture.pid
    assert run.supervisor.health.state == "ended" and not alive(pid)
    assert f"{server.url}: its process ended by signal 9; it is opened again until it answers" in caplog.messages
    assert caplog.messages.count(f"{server.url} is back") == 2


@pytest.mark.slow
def test_a_picture_that_stays_the_same_is_stale_and_counted(server: LiveServer):
    with Watched(server.url) as run:
        run.next()
        server.fault("freeze", 2.2)
        stale = run.next(stale=True)
        assert run.supervisor.health.state == "stale" and "the same picture" in run.supervisor.health.reason
        assert run.dropped["same"] > 0 and stale.breaks and stale.image.shape == (64, 192, 3)
        again = run.next()
        assert again.breaks and run.supervisor.health.state == "live"
        assert run.supervisor.health.reconnects == 0


def test_one_that_falls_silent_is_cut_off_and_given_up_when_that_is_asked_for():
    with socket.create_server(("127.0.0.1", 0)) as mute:  # it accepts, and says nothing
        url = f"http://me:SECRET@127.0.0.1:{mute.getsockname()[1]}/x?key=SECRET#timeout=0.3"
        run = Watched(url, Patience(give_up_after_s=1.0))
        began_s = time.monotonic()
        with pytest.raises(SourceError, match="given up after") as caught:
            run.__enter__()
        assert 1.0 <= time.monotonic() - began_s < TIMEOUT_S and "SECRET" not in str(caught.value)
    with pytest.raises(SourceError, match="cannot open stream"):
        Watched(url, Patience(reconnect=False)).__enter__()


def test_a_source_that_is_given_up_tells_its_name_and_the_cause() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        url = f"http://127.0.0.1:{gone.getsockname()[1]}/x"
    run = Watched(live_source(url, name="cam"), Patience(give_up_after_s=0.2))
    with pytest.raises(SourceError, match=r"cannot open stream cam: nothing listens .*; given up after 0\.[2-9] s"):
        run.__enter__()
    with pytest.raises(SourceError, match=r"^cam: no picture came$"):  # in which its name is part of a word
        Watched(live_source(url, name="cam"), Patience(reconnect=False)).supervisor._lost("no picture came")


def test_a_hung_process_is_killed_at_the_deadline(server: LiveServer):
    with Watched(live_source(server.url, timeout_s=2.0)) as run:  # which a busy machine needs to open it
        run.next()
        pid = run.supervisor._capture.pid
        os.kill(pid, signal.SIGSTOP)
        while not run.supervisor.health.reconnects:
            frame = run.next()
        assert not alive(pid) and frame.breaks


def test_it_ends_when_it_is_stopped_from_another_thread():
    with socket.create_server(("127.0.0.1", 0)) as mute:
        run = Watched(f"http://127.0.0.1:{mute.getsockname()[1]}/x")
        threading.Timer(0.2, run.supervisor.stop).start()
        with pytest.raises(SourceError, match="was left before it was open"):
            run.__enter__()


def test_a_file_on_a_server_and_one_that_is_played_end_without_a_word(tmp_path: Path):
    path = write_video(tmp_path / "film.mp4", 12, "libx264")
    began_s = time.monotonic()
    with Watched(f"{path}#realtime") as run:
        frames = list(run.frames)
    assert [frame.stream_time_s for frame in frames] == pytest.approx(np.arange(12) / 25)
    assert time.monotonic() - began_s >= 11 / 25 and all(frame.captured_at for frame in frames)
    assert run.source.info.live and run.supervisor.health.state == "ended"


def test_the_process_ends_with_its_parent_however_that_ends(server: LiveServer):
    code = """
import sys, time
sys.argv = [""]
from mdhr_sdk.vision import list_sources
from mdhr_sdk.vision.sources.live.health import Patience
from mdhr_sdk.vision.sources.live.supervisor import Supervisor
(source,) = list_sources(URL)
with Supervisor(source, source.spec, Patience(), lambda counts: None) as run:
    next(iter(run))
    print(run._capture.pid, flush=True)
    time.sleep(60)
""".replace("URL", repr(server.url))
    with started([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        pid = int(process.stdout.readline())
        assert alive(pid)
        process.kill()
        until(lambda: not alive(pid))


@pytest.mark.parametrize(("suffix", "options"), [("ts", "format=mpegts"), ("raw", "")])
def test_pictures_come_through_standard_input(tmp_path: Path, suffix: str, options: str):
    if suffix == "raw":
        data = b"".join(numbered(index).tobytes() for index in range(12))
        options = "format=rawvideo&size=96x64&pixels=bgr24&fps=25"
    else:
        data = write_video(tmp_path / "film.ts", 12, "libx264").read_bytes()
    code = f"""
import json
from mdhr_sdk.vision import list_sources
from mdhr_sdk.vision.sources.live.health import Patience
from mdhr_sdk.vision.sources.live.supervisor import Supervisor
(source,) = list_sources("-#{options}")
with Supervisor(source, source.spec, Patience(), print) as run:
    print(json.dumps([(frame.image.shape, round(float(frame.image[-16:, -16:].mean()))) for frame in run]))
"""
    command = [sys.executable, "-c", code]
    with started(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=False, env=environment()) as process:
        out, _ = process.communicate(data, timeout=TIMEOUT_S)
    given = json.loads(out)
    assert [shape for shape, _ in given] == [[64, 96, 3]] * 12
    assert [round((level - 38) / 8) for _, level in given] == list(range(12))


def test_a_terminal_is_no_pipe(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(SourceError, match="expected pictures on standard input"):
        Watched("-").__enter__()


def test_what_waited_is_no_news_until_a_read_has_to_wait():
    backlog = Backlog(0.04)
    now_s = time.perf_counter()
    waits = [0.0, 0.001, 0.0, 0.03, 0.0, 0.04, 1.5, 0.0, 0.035, 0.0]
    told = [backlog.late(waited_s, now_s + 0.01 * i) for i, waited_s in enumerate(waits)]
    assert told == ["start", "start", "start", "", "", "", "stall", "stall", "", ""]
    slow = Backlog(1.0)
    assert [slow.late(1.2, now_s + i) for i in range(3)] == [""] * 3, "it gives a picture a second"
    unknown = Backlog(0.04)  # what a picture in 1.4 s is taken for at first
    assert [unknown.late(1.4, now_s + 1.4 * i) for i in range(4)] == ["stall", "", "", ""]
    busy = Backlog(0.04)
    assert [busy.late(0.0, time.perf_counter() + i) for i in (0.1, 2.0)] == ["start", ""]


def test_a_clock_that_jumps_against_ours_is_noticed():
    clock = OwnClock()
    steps = [(0.0, 0.0), (0.04, 0.05), (0.08, 0.07), (0.02, 0.11), (0.06, 0.15), (9.0, 0.19), (9.04, 0.2), (9.1, 5.0)]
    assert [clock.jumped(*step) for step in steps] == [False, False, False, True, False, True, False, True]
    assert not clock.jumped(None, 6.0)


def test_stamps_are_read_as_they_were_written():
    image = np.full((64, 192, 3), 100, np.uint8)
    write_stamp(image, 1_234_567_890_123, 77)
    assert read_stamp(image) == (1_234_567_890_123 & ((1 << 40) - 1), 77)


@pytest.mark.slow
def test_faults_at_random_mix_nothing_and_lose_nothing():
    done = None
    command = [sys.executable, ROOT / "tests" / "support" / "live" / "live_faults.py", "--faults", 60, "--seed", 5]
    with started(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        done = finished(process, 200)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("60 faults") and " 0 tracks" not in done.stdout
