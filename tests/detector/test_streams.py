"""`stream` over files and live sources: policies, what is skipped, who may use a detector, and how its threads end."""

from __future__ import annotations

import gc
import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fake_streams import camera, of_each, streaming
from fakes import CONFIG, INFO, FakeMesher, FakeSession, picture, readers, values, video, write_film
from mdhr_sdk import AUDetector
from mdhr_sdk.errors import ConfigError, InputError, MissingDependencyError, SourceError, SupersededError
from mdhr_sdk.vision import Source
from processes import run_python, until

WAIT_S = 30


@pytest.fixture
def detector(meshers: list[FakeMesher], no_cuts: None) -> AUDetector:
    return streaming()


@pytest.mark.parametrize("others", [0, 1])
def test_a_slow_loop_gets_the_newest_frame_and_the_count_of_the_others(
    detector: AUDetector, others: int, caplog: pytest.LogCaptureFixture
) -> None:
    """One live source and several are read in the same way: five frames come in each turn of the loop."""
    caplog.set_level("INFO", "mdhr_sdk")
    permits = threading.Semaphore(1)
    paced = (picture(index, {0}) for index in range(21) if permits.acquire(timeout=WAIT_S))
    sources = [camera(paced, hasty=True), *[camera(video([{1}]), "other")] * others]
    seen = []
    with detector.stream(sources if others else sources[0], 0) as stream:
        for frame in stream:
            if frame.source == "camera":
                seen.append(frame)
                permits.release(5)
                until(lambda: stream.status["camera"].captured == min(21, 1 + 5 * len(seen)))
    assert [frame.timestamp_s * 25 for frame in seen] == pytest.approx([0, 5, 10, 15, 20])
    assert [frame.index for frame in seen] == list(range(5))
    assert [(frame.dropped, frame.delay_frames) for frame in seen] == [(0, 0), *[(4, 0)] * 4]
    status = stream.status["camera"]
    assert (status.captured, status.scored, status.dropped, status.ended) == (21, 5, 16, True)
    assert status.dropped == sum(frame.dropped for frame in seen)
    assert "camera: 5 frames scored, 16 dropped" in caplog.text


def test_complete_is_asked_for_and_drops_nothing(detector: AUDetector) -> None:
    frames = list(detector.stream(camera(video([{0}] * 20), hasty=True), 0, "complete"))
    assert [(frame.index, frame.dropped) for frame in frames] == [(index, 0) for index in range(20)]
    with pytest.raises(ConfigError, match="policy must be one of newest, complete; got 'all'"):
        detector.stream(video([{0}]), policy="all")  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["clip", "stream"])
def test_live_sources_of_a_list_are_open_at_once_and_files_wait(
    session: FakeSession, meshers: list[FakeMesher], no_cuts: None, mode: str
) -> None:
    detector = AUDetector(CONFIG, session, INFO) if mode == "clip" else streaming()
    both = threading.Barrier(2, timeout=WAIT_S)

    def alive(slot: int) -> Iterator[np.ndarray]:
        both.wait()  # each is open, or this breaks
        yield from video([{slot}] * 6)

    sources = [video([{0}] * 2), camera(alive(1), "a"), video([{0}] * 3), camera(alive(2), "b")]
    frames = of_each(list(detector.predict(sources, stream=True)))
    assert {name: len(own) for name, own in frames.items()} == {"array[0]": 2, "a": 6, "b": 6, "array[2]": 3}
    first, *_, last = frames
    assert (first, last) == ("array[0]", "array[2]"), "files one after the other"
    assert all(len(frame.faces) == 1 for own in frames.values() for frame in own)


BATCHES: dict[str, Callable[[list[str]], object]] = {
    "list": list,
    "tuple": tuple,
    "Series": pd.Series,
    "array": np.array,
    "object array": lambda paths: np.array(paths, dtype=object),
    "iterator": iter,
    "deque": deque,
}


@pytest.mark.parametrize("batch", [*BATCHES, "Path.glob", "glob", "folder"])
def test_every_batch_is_streamed_side_by_side_and_predicted_one_after_the_other(
    detector: AUDetector, tmp_path: Path, batch: str
) -> None:
    paths = [str(write_film(tmp_path / name, list(video([{0}] * 3)))) for name in ("a.avi", "b.avi")]

    def given() -> object:
        whole = {"glob": str(tmp_path / "*"), "folder": tmp_path, "Path.glob": tmp_path.glob("*")}
        return whole.get(batch) or BATCHES[batch](paths)

    together = [frame.source for frame in detector.stream(given(), 0)]
    assert together[:2] * 3 == together and sorted(together[:2]) == paths
    in_turn = [frame.source for frame in detector.predict(given(), True)]
    assert in_turn == [in_turn[0]] * 3 + [in_turn[3]] * 3 and sorted({*in_turn}) == paths


@pytest.mark.parametrize("batch", BATCHES)
def test_what_is_not_there_is_skipped_in_every_batch(detector: AUDetector, tmp_path: Path, batch: str) -> None:
    here, gone = str(write_film(tmp_path / "a.avi", list(video([{0}] * 3)))), str(tmp_path / "no.avi")
    results = detector.predict(BATCHES[batch]([gone, here, "ftp://me:SECRET@host/x"]), on_error="skip")
    assert results.sources == (here,) and len(results) == 3
    assert [name for name, _ in results.errors] == [gone, "ftp://host/x"] and "SECRET" not in repr(results.errors)
    assert "nothing exists at" in str(results.errors[0][1])
    stream = detector.stream(BATCHES[batch]([gone, here]), 0, on_error="skip")
    assert len(list(stream)) == 3 and [name for name, _ in stream.errors] == [gone]
    with pytest.raises(SourceError, match="nothing exists at"):
        detector.predict(BATCHES[batch]([here, gone]))


def test_a_missing_path_that_is_in_no_batch_is_an_error_at_once(detector: AUDetector, tmp_path: Path) -> None:
    for missing in (tmp_path / "no.avi", str(tmp_path / "*.avi"), tmp_path):
        with pytest.raises(SourceError):
            detector.predict(missing, on_error="skip")


@pytest.fixture
def batch(tmp_path: Path) -> list[Any]:
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    return [video([{0}] * 3), tmp_path / "broken.mp4", video([{1}] * 2)]


def test_a_damaged_file_is_skipped_if_it_is_asked_for(
    detector: AUDetector, batch: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    results = detector.predict(batch, on_error="skip")
    assert results.sources == ("array[0]", "array[2]") and len(results) == 5
    ((name, error),) = results.errors
    assert name == str(batch[1]) and isinstance(error, SourceError)
    assert [(one.levelname, one.getMessage()) for one in caplog.records] == [("WARNING", f"{error}; it is skipped")]
    assert results[:2].errors == ()


@pytest.mark.parametrize("live", [True, False])
def test_a_face_model_that_cannot_be_opened_is_no_fault_of_a_source(
    detector: AUDetector, monkeypatch: pytest.MonkeyPatch, live: bool
) -> None:
    def no_model(*_: object, **__: object) -> None:
        raise MissingDependencyError("the face model is not there")

    monkeypatch.setattr("mdhr_sdk.detector.FaceMesher", no_model)
    given = [camera(video([{0}] * 3), name) for name in ("a", "b")] if live else [video([{0}] * 3), video([{1}])]
    stream = detector.stream(given, 0, on_error="skip")
    with pytest.raises(MissingDependencyError, match="not there"):
        list(stream)


def test_a_damaged_file_ends_the_batch_unless(detector: AUDetector, batch: list[Any], caplog: Any) -> None:
    with pytest.raises(SourceError, match=r"broken\.mp4") as caught:
        detector.predict(batch)
    results = caught.value.results
    assert results.sources == ("array[0]",) and [name for name, _ in results.errors] == [str(batch[1])]
    assert caplog.records == []
    with pytest.raises(ConfigError, match="on_error must be one of raise, skip; got 'ignore'"):
        detector.predict(batch, on_error="ignore")  # type: ignore[call-overload]


@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_side_by_side_the_others_go_on_and_the_error_is_told(
    detector: AUDetector, batch: list[Any], on_error: Any
) -> None:
    stream, seen = detector.stream(batch, 0, on_error=on_error), []
    with pytest.raises(SourceError) if on_error == "raise" else nullcontext():
        seen.extend(stream)
    assert len(seen) == 5
    assert [name for name, _ in stream.errors] == [str(batch[1])]
    assert {name: (one.scored, one.ended, one.error is not None) for name, one in stream.status.items()} == {
        "array[0]": (3, True, False), str(batch[1]): (0, True, True), "array[2]": (2, True, False),
    }  # fmt: skip


def test_the_first_of_two_errors_is_raised_and_both_are_listed(detector: AUDetector) -> None:
    sources = [camera(video([{0}] * 2), "a", breaks=True), video([{1}] * 9), camera(video([{2}]), "b", breaks=True)]
    stream, seen = detector.stream(sources, 0), []
    with pytest.raises(SourceError, match="stopped"):
        seen.extend(stream)
    assert sorted(name for name, _ in stream.errors) == ["a", "b"] and len(seen) == 12


def test_what_ctrl_c_cut_short_beside_a_camera_is_told(detector: AUDetector, tmp_path: Path) -> None:
    def interrupted() -> Iterator[np.ndarray]:
        yield from video([{1}] * 9)
        raise KeyboardInterrupt

    results = detector.predict([camera(video([{0}] * 3)), interrupted(), video([{2}])])
    assert results.sources[0] == "camera" and [name for name, _ in results.errors] == ["array[1]", "array[2]"]
    assert "Ctrl-C came before" in str(results.errors[0][1])
    assert {path.name for path in results.save(tmp_path, timeline=False)} == {
        "camera_aus.csv", "camera_events.csv", "array_1__aus.incomplete.csv", "array_1__events.incomplete.csv",
    }  # fmt: skip


def test_breaking_ends_the_threads_and_so_does_forgetting(detector: AUDetector) -> None:
    def endless() -> Source:
        return camera(itertools.repeat(picture(0, {0})), hasty=True)

    for _ in detector.stream([endless(), video([{1}] * 9)], 0):
        assert len(readers()) == 2
        break
    assert readers() == []
    with detector.stream([endless(), video([{1}] * 9)], 0) as both:
        while not both.status["array[1]"].ended:
            next(both)
    assert readers() == [] and not both.status["camera"].ended

    with pytest.raises(RuntimeError, match="in the loop"):
        for _ in detector.stream(endless(), 0):
            raise RuntimeError("in the loop")
    assert readers() == []
    knot: list[Any] = [detector.stream(endless(), 0)]
    next(knot[0])
    knot.append(knot)
    del knot
    gc.collect()
    assert readers() == []


def test_closing_the_detector_wakes_who_waits(detector: AUDetector) -> None:
    silent = threading.Event()

    def mute() -> Iterator[np.ndarray]:
        yield picture(0, {0})
        silent.wait(WAIT_S)

    begun = detector.stream(camera(mute(), hasty=True), 0)
    next(begun)

    with ThreadPoolExecutor(1) as other:
        waits = other.submit(next, begun)
        until(lambda: detector._turns._lock.locked())
        with pytest.raises(InputError, match="one thread at a time; got a second one"):
            detector.predict(video([{0}]))
        threading.Timer(0.05, silent.set).start()
        detector.close()
        with pytest.raises(SupersededError):
            waits.result(WAIT_S)
    with pytest.raises(InputError, match="closed"):
        detector.stream(video([{0}]))


def test_the_old_name_still_works_and_says_what_to_write(detector: AUDetector) -> None:
    videos = [video([{0}] * 3), video([{1}] * 3)]
    wanted = values(detector.stream(videos, 0))
    says = r"stream_together\(sources\) is deprecated since version 0\.2 and goes in 0\.4; use AUDetector\.stream\("
    with pytest.warns(DeprecationWarning, match=says) as told:
        assert values(detector.stream_together(videos, 0)) == wanted
    assert told[0].filename == __file__


DETECTOR = """
import http.server, itertools, os, threading, time
import cv2
from fakes import FakeMesher, picture, video
from fake_streams import camera, streaming
import mdhr_sdk.detector
mdhr_sdk.detector.FaceMesher = FakeMesher
detector = streaming()
"""
BEGUN = """
def endless():
    for index in itertools.count():
        time.sleep(0.002)
        yield picture(index % 9, {0})

stream = detector.stream([camera(endless(), "a", hasty=True), endless(), video([{1}] * 9)], 0)
next(stream)
"""
ENDINGS = {
    "an open stream": ("raise SystemExit(3)", 3, ""),
    "an exception": ("raise RuntimeError('in the loop')", 1, "RuntimeError: in the loop"),
    "a fork": (
        """
from mdhr_sdk.errors import InputError
child = os.fork()
if child == 0:
    for use in (lambda: next(stream), lambda: detector.predict(video([{0}])), lambda: detector.stream(video([{0}]))):
        try:
            use()
            os._exit(9)
        except InputError as error:
            assert "made before a fork" in str(error)
    del stream
    raise SystemExit(4)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
""",
        4,
        "",
    ),
}


@pytest.mark.parametrize("case", ENDINGS)
def test_the_end_of_a_process_is_clean(case: str) -> None:
    code, status, said = ENDINGS[case]
    done = run_python("-W", "ignore", "-c", DETECTOR + BEGUN + code)
    assert done.returncode == status, done.stderr
    assert done.stderr.rstrip().endswith(said) and ("FATAL" not in done.stderr) and (said or not done.stderr)


MJPEG = """
class Camera(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        picture_of = cv2.imencode(".jpg", picture(3, {0}))[1].tobytes()
        head = b"--frame\\r\\nContent-Type: image/jpeg\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(picture_of)
        try:
            while True:
                self.wfile.write(head + picture_of + b"\\r\\n")
                time.sleep(0.02)
        except OSError:
            pass

    def log_message(self, *_):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Camera)
server.daemon_threads = True
threading.Thread(target=server.serve_forever, daemon=True).start()
stream = detector.stream([f"http://127.0.0.1:{server.server_address[1]}/live"], 0)
for frame in stream:
    if frame.index >= 3:  # the third may have been dropped
        break
print("left the loop", flush=True)
"""


def test_a_live_stream_that_is_left_by_break_does_not_abort_the_process() -> None:
    done = run_python("-c", DETECTOR + MJPEG)
    assert (done.returncode, done.stdout.strip()) == (0, "left the loop"), done.stderr
