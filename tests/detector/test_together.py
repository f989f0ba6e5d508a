"""Several sources at once: each is scored as if it were alone, and all that is due is encoded in one batch."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fakes import CODES, CONFIG, INFO, FakeMesher, picture, values, video
from mdhr_sdk import AUDetector
from mdhr_sdk.config import FolderConfig
from mdhr_sdk.detector import SupersededError
from mdhr_sdk.errors import BackendError, ConfigError, InputError, SourceError
from mdhr_sdk.results import FrameResult
from mdhr_sdk.runtime.base import graph_specs
from mdhr_sdk.runtime.stream import MAX_BATCH
from mdhr_sdk.runtime.stream_graphs import StreamGraphs
from mdhr_sdk.vision import Source
from mdhr_sdk.vision.frames import Opened
from ops_cases import parameters

STREAMING = dataclasses.replace(
    CONFIG, model=dataclasses.replace(CONFIG.model, k=1, projection_width=2), clip_length=7
)  # which has one lookahead without edges, 3
PARAMETERS = parameters(np.random.default_rng(0), 4, 2)
PATTERNS = st.lists(st.frozensets(st.integers(0, 2)), min_size=1, max_size=12)


class FakeGraph:
    """The grey level of a crop goes through as features and, with its motion, node; scores tell all around a frame."""

    backend, device, precision = "fake", "cpu", "fp32"

    def __init__(self, graph: str) -> None:
        self.graph = graph
        self.inputs, self.outputs = graph_specs(STREAMING, graph, STREAMING.clip_length)
        self.batches: list[int] = []
        self.fails = False

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, Any]:
        value = inputs[self.inputs[0].name]
        self.batches.append(len(value))
        if self.fails:
            raise BackendError("out of memory")
        if self.graph == "encoder":
            mean, std = (np.reshape(v, (3, 1, 1)) for v in (CONFIG.preprocessing.mean, CONFIG.preprocessing.std))
            levels = np.rint((value * std + mean)[:, 0, 32, 32] * 255)
            return {spec.name: self._filled(spec.name, levels) for spec in self.outputs}
        if self.graph == "relations":
            value = value + inputs["motion"][:, :1, 0, :1]
            logits = {spec.name: self._filled(spec.name, value[:, 0, 0]) for spec in self.outputs[1:]}
            return {"nodes": self._filled("nodes", value[:, 0, 0]), **logits}
        around = value[:, :, 0, 0] @ (7.0 ** np.arange(value.shape[1]))
        return {"scores": ((around[:, None] + 13 * np.arange(len(CODES))) % 101 / 100).astype(np.float32)}

    def _filled(self, name: str, levels: np.ndarray) -> np.ndarray:
        (spec,) = (spec for spec in self.outputs if spec.name == name)
        shape = (len(levels), *(n or 0 for n in spec.shape[1:]))
        return np.broadcast_to(levels.reshape(-1, *[1] * (len(shape) - 1)), shape).astype(np.float32)

    def close(self) -> None:
        pass


@pytest.fixture
def detector(meshers: list[FakeMesher], no_cuts: None) -> AUDetector:
    return make()


def make(config: FolderConfig = STREAMING) -> AUDetector:
    graphs = StreamGraphs(config, *map(FakeGraph, ("encoder", "relations", "temporal")), PARAMETERS, "", 1)
    return AUDetector(config, graphs, INFO)


def of_each(frames: list[FrameResult]) -> dict[str, list[FrameResult]]:
    return {name: [one for one in frames if one.source == name] for name in dict.fromkeys(f.source for f in frames)}


def camera(frames: Any, name: str = "camera", breaks: bool = False) -> Source:
    """A live source that shows these frames and ends as cameras do, by breaking off."""

    def shown() -> Iterator[tuple[np.ndarray, float]]:
        for index, image in enumerate(frames):
            yield image, index / 25
        if breaks:
            raise SourceError(f"{name} stopped")

    return Source(name, "camera", lambda: contextlib.nullcontext(Opened(25.0, None, True, shown())))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(patterns=st.lists(PATTERNS, min_size=1, max_size=3), lookahead=st.sampled_from([0, 3, 6]))
def test_no_source_changes_what_another_gives(
    detector: AUDetector, patterns: list[list[frozenset[int]]], lookahead: int
) -> None:
    videos = [video(pattern) for pattern in patterns]
    alone = [list(detector.stream(one, lookahead)) for one in videos]
    encoder = detector._opened["stream"][0].encoder  # type: ignore[union-attr]
    encoder.batches.clear()
    together = of_each(list(detector.stream_together(videos, lookahead)))
    assert set(together) == {f"array[{i}]" for i in range(len(videos))}
    for i, wanted in enumerate(alone):
        own = together[f"array[{i}]"]
        assert [frame.index for frame in own] == list(range(len(wanted)))
        assert values(own) == values(wanted)
        assert [frame.delay_frames for frame in own] == [frame.delay_frames for frame in wanted]
    steps = [sum(len(p[t]) for p in patterns if t < len(p)) for t in range(max(map(len, patterns)))]
    assert encoder.batches == [n for n in steps if n], "all faces of a step at once"
    assert max(steps) <= MAX_BATCH


def test_tiers_and_the_neutral_seconds_of_each_source_count_as_alone(meshers: list[FakeMesher], no_cuts: None) -> None:
    detector = make(dataclasses.replace(STREAMING, reliability=("A", "C", "B", "A", "B", "A", "C", "A")))
    videos = [video([{0}] * 9), video([{1, 2}] * 3 + [{1}] * 9)]
    wanted = [list(detector.stream(one, 3, calibrate_neutral_s=0.12)) for one in videos]
    together = of_each(list(detector.stream_together(videos, 3, calibrate_neutral_s=0.12)))
    found = [frame for i in range(len(videos)) for frame in together[f"array[{i}]"]]
    for frame, alone in zip(found, [frame for own in wanted for frame in own], strict=True):
        assert [(face.aus, face.baseline) for face in frame.faces] == [(f.aus, f.baseline) for f in alone.faces]
        assert frame.model == alone.model and frame.model.off == ("AU02", "AU25") and frame.model.neutral_s == 0.12
        assert all(tuple(face.aus) == detector.codes for face in frame.faces)
    assert {face.baseline for own in wanted for frame in own for face in frame.faces} == {"neutral", "applied"}


def test_a_still_has_no_neutral_seconds_and_the_others_go_on(detector: AUDetector) -> None:
    results = []
    with pytest.raises(InputError, match=r"needs a video, and 'array\[0\]' is a still"):
        for frame in detector.stream_together([picture(0, {0}), video([{1}] * 3)], 0, calibrate_neutral_s=1):
            results.append(frame)
    assert [(frame.source, frame.index) for frame in results] == [("array[1]", index) for index in range(3)]
    with pytest.raises(ConfigError, match="neutral seconds must be a number above 0"):
        detector.stream_together([video([{0}])], calibrate_neutral_s=0)


def test_cameras_wait_for_none(detector: AUDetector) -> None:
    seen, first = threading.Event(), video([{0}] * 3)

    def slow() -> Iterator[np.ndarray]:
        yield picture(0, {1})
        assert seen.wait(30), "the other camera had to wait"
        yield picture(1, {1})

    results = []
    for frame in detector.stream_together([camera(first, "fast"), camera(slow(), "slow")], 0):
        results.append(frame)
        if frame.source == "fast" and frame.index == 2:
            seen.set()
    assert {name: [f.index for f in own] for name, own in of_each(results).items()} == {
        "fast": [0, 1, 2], "slow": [0, 1],
    }  # fmt: skip


def test_a_source_that_breaks_off_does_not_end_the_others(detector: AUDetector) -> None:
    broken = camera(video([{0}] * 2), "broken", breaks=True)
    results = []
    with pytest.raises(SourceError, match="broken stopped"):
        for frame in detector.stream_together([broken, video([{1}] * 8)], 2):
            results.append(frame)
    assert {name: len(own) for name, own in of_each(results).items()} == {"broken": 2, "array[1]": 8}
    assert all(frame.faces for frame in results)


def test_one_that_cannot_be_opened_is_told_after_the_others(detector: AUDetector, tmp_path: Any) -> None:
    (tmp_path / "no.mp4").write_bytes(b"no video")
    results, threads = [], threading.active_count()
    with pytest.raises(SourceError, match=r"no\.mp4"):
        results.extend(detector.stream_together([tmp_path / "no.mp4", video([{1}] * 3)], 0))
    assert threading.active_count() == threads


def test_a_model_that_fails_gives_the_frames_before_it(detector: AUDetector) -> None:
    encoder = detector._opened["stream"][0].encoder  # type: ignore[union-attr]
    results: list[FrameResult] = []
    with pytest.raises(BackendError, match="out of memory"):
        for frame in detector.stream_together([video([{0}] * 5), video([{1}] * 5)], 1):
            results.append(frame)
            encoder.fails = len(results) == 4
    assert [frame.index for frame in results] == [0, 0, 1, 1, 2, 2]


def test_given_up_halfway_it_leaves_no_thread_and_no_stream(detector: AUDetector, meshers: list[FakeMesher]) -> None:
    threads = threading.active_count()
    begun = detector.stream_together([video([{0}] * 9), camera(video([{1}] * 9))], 0)
    next(begun)
    begun.close()  # type: ignore[attr-defined]
    assert threading.active_count() == threads and all(mesher.closed for mesher in meshers)
    again = list(detector.stream(video([{2}] * 9), 0))
    assert [len(frame.faces) for frame in again] == [1] * 9


def test_only_one_run_at_a_time(detector: AUDetector) -> None:
    begun = detector.stream_together([video([{0}] * 9)], 0)
    next(begun)
    list(detector.stream(video([{1}] * 2), 0))
    with pytest.raises(SupersededError):
        list(begun)
    with pytest.raises(ConfigError, match="from 0 to 6"):
        detector.stream_together([video([{0}])], 7)
