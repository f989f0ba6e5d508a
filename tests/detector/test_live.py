"""Runs over live sources: counts, stale results, calibration of who came late, `async for`."""

from __future__ import annotations

import asyncio
import csv
import signal
import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest

from benchmarks.live.server import LiveServer
from fake_streams import camera, streaming
from fakes import FakeMesher, picture, video
from mdhr_sdk import AUDetector
from mdhr_sdk.errors import ConfigError, InputError, SourceError
from mdhr_sdk.outputs import CsvSink
from mdhr_sdk.results import FrameResult


@pytest.fixture
def detector(meshers: list[FakeMesher], no_cuts: None) -> AUDetector:
    return streaming()


def test_a_camera_that_stalls_and_comes_back_is_told_and_counted(detector: AUDetector, tmp_path: Path) -> None:
    with LiveServer(lambda index: picture(index % 25, {0}), fps=50, quality=100) as server:
        stream, seen = detector.stream({"door": server.url}, 0), list[FrameResult]()
        with stream, CsvSink(tmp_path / "door.csv", detector.codes) as sink:
            for frame in stream:
                seen.append(frame)
                sink.write(frame)
                if len(seen) == 5:
                    server.stop()
                if frame.stale:
                    assert stream.status["door"].state in ("stale", "lost", "reconnecting")
                    server.start()
                    break
            for frame in stream:
                seen.append(frame)
                if len([one for one in seen if not one.stale]) == 12:
                    break
            now = stream.status["door"]
            assert (now.state, now.name, now.reconnects) == ("live", "door", 1) and now.fps_in > 0 < now.fps_out
    stale = [one for one in seen if one.stale]  # one a second: more than one where the server is slow to come back
    assert all((one.status, one.faces, one.source) == ("stale", (), "door") for one in stale)
    first = seen.index(stale[0])
    assert seen[first : first + len(stale)] == stale, "it did not stall again"
    before, after = seen[first - 1], seen[first + len(stale)]
    assert before.faces[0].track_id != after.faces[0].track_id, "nobody knows what happened meanwhile"
    assert all(a.index < b.index for a, b in pairwise(seen)), "a newer result may have replaced one"
    assert all(a.timestamp_s < b.timestamp_s and a.captured_at < b.captured_at for a, b in pairwise(seen))
    status = stream.status["door"]
    assert status.captured == status.scored + status.dropped and status.dropped == sum(status.dropped_by.values())
    assert status.scored == len(seen) - len(stale) and (status.state, status.ended) == ("ended", False)
    with (tmp_path / "door.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["status"] for row in rows[-1:]] == ["stale"] and rows[0]["captured_at"].endswith("Z")
    assert float(rows[0]["delay_ms"]) > 0 and rows[0]["dropped"] == str(seen[0].dropped)


def test_a_slow_loop_gets_the_newest_result_of_frames_that_were_all_scored(detector: AUDetector) -> None:
    with LiveServer(lambda index: picture(index % 25, {0}), fps=50, quality=100) as server:
        stream, seen = detector.stream({"door": server.url}), list[FrameResult]()
        with stream:
            while len(seen) < 8 or "unread" not in stream.status["door"].dropped_by:
                began_s = time.perf_counter()
                seen.append(next(stream))
                time.sleep(0.1)
                assert seen[-1].delay_ms >= 0 and time.perf_counter() - began_s < 20
    status = stream.status["door"]
    assert status.captured == status.scored + status.dropped and status.scored == len([x for x in seen if not x.stale])
    assert sum(one.dropped for one in seen) <= status.dropped and seen[-1].faces[0].track_id == 0
    assert not [one for one in threading.enumerate() if one.name == "mdhr scores ahead"]


def test_control_c_ends_a_loop_that_waits_after_its_last_frames(detector: AUDetector) -> None:
    seen = list[FrameResult]()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # which nohup lets be ignored
    try:
        with LiveServer(lambda index: picture(index % 25, {0}), fps=50, quality=100) as server:
            stream = detector.stream({"door": server.url})
            seen.append(next(stream))
            server.fault("stall", 30.0)

            def interrupt() -> None:
                sent = -1
                while sent != (sent := server.sent):  # until it has stalled, and the loop waits
                    time.sleep(0.3)
                signal.raise_signal(signal.SIGINT)

            threading.Thread(target=interrupt).start()
            with pytest.raises(KeyboardInterrupt):
                seen.extend(stream)
    finally:
        signal.signal(signal.SIGINT, before)
    status = stream.status["door"]
    assert status.captured == status.scored + status.dropped and seen[-1].delay_frames < 3, "the last ones came too"


def test_what_does_not_come_back_is_an_error_when_that_is_asked_for(detector: AUDetector) -> None:
    with LiveServer(lambda index: picture(index % 25, {0}), fps=50) as server:
        for choice in ({"reconnect": False}, {"give_up_after_s": 0.3}):
            stream = detector.stream(server.url, 0, **choice)  # type: ignore[arg-type]
            with pytest.raises(SourceError, match=r"stopped after|given up after"):
                next(stream)  # a busy machine may take more than the 0.3 s for it
                server.stop()
                list(stream)
            server.stop()
            assert stream.status[server.url].state == "ended" and stream.status[server.url].reason
            server.start()
    for wrong in (0, "5", 10**400):
        with pytest.raises(ConfigError, match="give_up_after_s must be seconds above 0"):
            detector.stream(server.url, give_up_after_s=wrong)  # type: ignore[arg-type]


def test_one_who_comes_late_is_calibrated(detector: AUDetector) -> None:
    stream = detector.stream(camera(video([{0}] * 5 + [{0, 1}] * 20)), 0)
    baselines: list[dict[int, str]] = []
    with pytest.raises(InputError, match="expected a source that has given frames; those that have: none"):
        stream.calibrate(seconds=0.2)
    for frame in stream:
        baselines.append({face.track_id: face.baseline for face in frame.faces})
        if frame.index == 9:
            stream.calibrate("camera", 1, seconds=0.2)
            with pytest.raises(InputError, match="expected 'hall' that has given frames"):
                stream.calibrate("hall")
            with pytest.raises(ConfigError, match="above 0"):
                stream.calibrate(seconds=0)
    assert baselines[:10] == [{0: "off"}] * 5 + [{0: "off", 1: "off"}] * 5
    late = [one[1] for one in baselines[11:]]  # the next frame may have been read before
    assert late == ["neutral"] * late.count("neutral") + ["applied"] * late.count("applied")
    assert 4 <= late.count("neutral") <= 6
    assert {one[0] for one in baselines[11:]} == {"missing"}


def test_results_can_be_awaited(detector: AUDetector) -> None:
    frames = video([{0}] * 12)

    async def watch() -> tuple[list[int], int]:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0)

        beside = asyncio.create_task(tick())
        stream = detector.stream(camera(frames), 0)
        results = aiter(stream)
        indices = [(await anext(results)).index]
        waiting = asyncio.ensure_future(anext(results))
        await asyncio.sleep(0)
        waiting.cancel()
        indices.append((await anext(aiter(stream))).index)  # of another loop
        first = asyncio.ensure_future(anext(results))
        await asyncio.sleep(0)
        with pytest.raises(InputError, match="one coroutine at a time"):
            await anext(aiter(stream))
        indices.append((await first).index)
        indices += [one.index async for one in results]
        beside.cancel()
        return indices, ticks

    indices, ticks = asyncio.run(watch())
    assert indices == list(range(12)), "what came after a cancelled wait is not lost"
    assert ticks > 12
