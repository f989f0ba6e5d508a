"""Streams answer what the clip model answers in the same window, whatever comes and goes beside them."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdhr_sdk.errors import BackendError, ConfigError, InputError
from mdhr_sdk.model import MDHR, load_model, save_model
from mdhr_sdk.modelfolder.folder import ModelFolder
from mdhr_sdk.runtime import open_streams
from mdhr_sdk.runtime.stream import rings
from mdhr_sdk.runtime.stream.scorer import MAX_BATCH, StreamScore, StreamScorer, default_lookahead
from streams import SETTLED, SIZE, K, T, expected, folder_of, open_scorer, small_model, streamed, video


@pytest.fixture(scope="module")
def exported(small_onnx_folder: Path) -> ModelFolder:
    return ModelFolder.open(small_onnx_folder)


WHOLE = [(lookahead, 2 * T + 3) for lookahead in range(T)]
SHORT = [(lookahead, count) for lookahead in (0, SETTLED, T - 1) for count in (1, 2, SETTLED, SETTLED + 1, T - 1)]


@pytest.mark.parametrize(("lookahead", "count"), [*WHOLE, *SHORT])
def test_every_lookahead_is_the_clip_models_window(
    folder: ModelFolder, model: MDHR, lookahead: int, count: int
) -> None:
    frames = video(count)
    scores = streamed(open_scorer(folder, "torch", lookahead), frames)
    assert [score.frame for score in scores] == list(range(count))
    assert [score.delay_frames for score in scores] == [min(lookahead, count - 1 - i) for i in range(count)]
    np.testing.assert_allclose([score.scores for score in scores], expected(model, frames, lookahead), atol=1e-5)


@pytest.mark.parametrize("lookahead", [SETTLED, SETTLED + 1, SETTLED + 2])
def test_scores_that_are_known_before_they_are_due_are_held(tmp_path: Path, model: MDHR, lookahead: int) -> None:
    """With T = 11 three lookaheads leave no edge; at the later two, rings know scores a frame or two early."""
    save_model(small_model(), tmp_path / "long", clip_length=11)
    frames = video(25)
    scores = streamed(open_scorer(ModelFolder.open(tmp_path / "long"), "torch", lookahead), frames)
    assert [score.delay_frames for score in scores] == [min(lookahead, 24 - i) for i in range(25)]
    wanted = expected(model, frames, lookahead, length=11)
    np.testing.assert_allclose([score.scores for score in scores], wanted, atol=1e-5)


@pytest.mark.parametrize("lookahead", [2, SETTLED])
def test_what_is_known_so_far_is_the_shorter_stream_and_changes_nothing(
    folder: ModelFolder, model: MDHR, lookahead: int
) -> None:
    frames, scorer = video(2 * T), open_scorer(folder, "torch", lookahead)
    scores: list[StreamScore] = []
    for count, frame in enumerate(frames, 1):
        scores += scorer.push({0: frame, 1: frame})
        early = [one for one in scorer.so_far([1, 0]) if one.key == 0]
        assert [one.frame for one in early] == list(range(max(0, count - lookahead), count))
        wanted = expected(model, frames[:count], lookahead)[-len(early) :]
        np.testing.assert_allclose([one.scores for one in early], wanted, atol=1e-5)
    scores = [one for one in scores + scorer.finish() if one.key == 0]
    np.testing.assert_allclose([one.scores for one in scores], expected(model, frames, lookahead), atol=1e-5)


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("lookahead", [1, SETTLED])
def test_exported_graphs_stream_alike(exported: ModelFolder, model: MDHR, backend: str, lookahead: int) -> None:
    scorer = open_scorer(exported, backend, lookahead)
    frames = video(T + 4)
    scores = [score.scores for score in streamed(scorer, frames)]
    np.testing.assert_allclose(scores, expected(model, frames, lookahead), atol=1e-5)
    graphs = scorer.graphs
    assert graphs.encoder.backend == graphs.temporal.backend == backend and backend in graphs.choice


@pytest.mark.parametrize("lookahead", [0, SETTLED])
@pytest.mark.parametrize(
    "settings",
    [{"mfd": False}, {"temporal": False}, {"scales": (1, 4)}, {"auxiliary": False, "graph": False}, {"k": 1}],
)
def test_ablated_models_stream(tmp_path: Path, settings: dict[str, Any], lookahead: int) -> None:
    folder = folder_of(tmp_path / "ablated", **settings)
    frames = video(T + 3)
    scores = [score.scores for score in streamed(open_scorer(folder, "torch", lookahead), frames)]
    np.testing.assert_allclose(scores, expected(load_model(folder), frames, lookahead), atol=1e-5)


@pytest.mark.parametrize("settings", [{"fusion": "concat"}, {"fusion": "sum"}, {"scales": (4,)}])
def test_other_fusions_are_refused(tmp_path: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(BackendError, match="use clip mode"):
        open_scorer(folder_of(tmp_path / "other", **settings))


@pytest.fixture(scope="module")
def scorers(exported: ModelFolder) -> dict[int, StreamScorer]:
    return {lookahead: open_scorer(exported, "onnxruntime", lookahead) for lookahead in (1, SETTLED)}


FRAMES = {key: video(12, seed) for seed, key in enumerate("abc")}
WHAT = st.sampled_from(["push"] * 4 + ["finish"])


@pytest.mark.parametrize("lookahead", [1, SETTLED])
@settings(max_examples=25, deadline=None)
@given(steps=st.lists(st.tuples(WHAT, st.sets(st.sampled_from("abc"), min_size=1)), min_size=1, max_size=12))
def test_streams_never_mix(
    scorers: dict[int, StreamScorer], model: MDHR, lookahead: int, steps: list[tuple[str, set[str]]]
) -> None:
    scorer, known = scorers[lookahead], KNOWN.setdefault(lookahead, {})
    fed: dict[str, int] = dict.fromkeys("abc", 0)
    rows: dict[Hashable, list[np.ndarray]] = {key: [] for key in "abc"}

    def end(keys: list[str]) -> None:
        take(scorer.finish(keys))
        for key in keys:
            if (key, fed[key]) not in known:
                known[key, fed[key]] = expected(model, FRAMES[key][: fed[key]], lookahead)
            np.testing.assert_allclose(rows[key], known[key, fed[key]], atol=1e-5)
            fed[key], rows[key] = 0, []

    def take(scores: list[StreamScore]) -> None:
        for score in scores:
            assert score.frame == len(rows[score.key])
            rows[score.key].append(score.scores)

    for what, keys in steps:
        if what == "finish":
            end([key for key in keys if fed[key]])
        else:
            take(scorer.push({key: FRAMES[key][fed[key]] for key in sorted(keys)}))
            fed.update({key: fed[key] + 1 for key in keys})
    end([key for key, count in fed.items() if count])
    assert scorer.keys == ()


KNOWN: dict[int, dict[tuple[str, int], np.ndarray]] = {}


def test_least_lookahead_without_edges_is_the_default(folder: ModelFolder) -> None:
    assert default_lookahead(folder.config) == open_scorer(folder, "torch").lookahead == SETTLED
    assert default_lookahead(dataclasses.replace(folder.config, clip_length=6)) == 3


@pytest.mark.parametrize("lookahead", [-1, T, 1.5, True])
def test_lookahead_lies_in_the_window(folder: ModelFolder, lookahead: Any) -> None:
    with pytest.raises(ConfigError, match="from 0 to 8"):
        open_scorer(folder, "torch", lookahead)


def test_bad_input_says_what_is_wanted(folder: ModelFolder) -> None:
    with pytest.raises(ConfigError, match="float32, float16, bfloat16; got 'int8'"):
        open_scorer(folder, "torch", ring_dtype="int8")
    scorer = open_scorer(folder, "torch")
    with pytest.raises(InputError, match="one shape"):
        scorer.push({0: np.zeros((3, SIZE, SIZE), np.float32), 1: np.zeros((3, 32, 32), np.float32)})
    with pytest.raises(InputError, match=r"\(3, 64, 64\)|shape"):
        scorer.push({0: np.zeros((3, 32, 32), np.float32)})
    with pytest.raises(InputError, match="open streams"):
        scorer.finish(["nobody"])
    features = scorer.graphs.encoder.run({"frames": video(2)})
    for keys in ([0, 0], [0], [0, 1, 2]):
        with pytest.raises(InputError, match="different keys"):
            scorer.push_features(keys, features)
    with pytest.raises(InputError, match="expected the inputs"):
        scorer.push_features([0], {})
    assert scorer.push({}) == [] and scorer.finish() == [] and scorer.keys == ()


@pytest.mark.parametrize("graph", ["relations", "temporal"])
@pytest.mark.parametrize("lookahead", [0, SETTLED])
def test_a_step_that_fails_ends_its_streams_and_no_others(
    folder: ModelFolder, model: MDHR, graph: str, lookahead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer, frames, other = open_scorer(folder, "torch", lookahead), video(T + 2), video(T + 2, seed=4)
    rows: list[np.ndarray] = []
    for index in range(T):
        rows += [score.scores for score in scorer.push({"other": other[index], "failing": frames[index]})
                 if score.key == "other"]  # fmt: skip
    with monkeypatch.context() as patch, pytest.raises(BackendError, match="out of memory"):
        session = getattr(scorer.graphs, graph)
        patch.setattr(session, "run", lambda inputs: (_ for _ in ()).throw(BackendError("out of memory")))
        scorer.push({"failing": frames[T]})
    assert scorer.keys == ("other",)
    again = [score.scores for score in streamed(scorer, frames, "failing")]
    np.testing.assert_allclose(again, expected(model, frames, lookahead), atol=1e-5)
    rows += [score.scores for frame in other[T:] for score in scorer.push({"other": frame})]
    rows += [score.scores for score in scorer.finish()]
    np.testing.assert_allclose(rows, expected(model, other, lookahead), atol=1e-5)


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_nothing_is_made_of_nan(exported: ModelFolder, backend: str) -> None:
    scorer = open_scorer(exported, backend, 0)
    with pytest.raises(InputError, match="finite"):
        scorer.push({0: np.full((3, SIZE, SIZE), np.nan, np.float32)})
    features = scorer.graphs.encoder.run({"frames": video(1)})
    broken = {name: np.full_like(array, np.nan) for name, array in features.items()}
    with pytest.raises(BackendError, match="NaN"):
        scorer.push_features([0], broken)
    with pytest.raises(InputError, match="float32"):
        scorer.push_features([0], {name: array.astype(np.float64) for name, array in features.items()})
    with pytest.raises(InputError, match="shape"):
        scorer.push_features([0], {name: array[..., :1] for name, array in features.items()})
    assert scorer.keys == ()


def test_more_faces_than_a_batch_holds(exported: ModelFolder, model: MDHR) -> None:
    scorer, frames = open_scorer(exported, "onnxruntime", SETTLED), [video(6, seed) for seed in range(MAX_BATCH + 2)]
    rows: dict[Hashable, list[np.ndarray]] = {key: [] for key in range(len(frames))}
    for index in range(6):
        scores = scorer.push({key: own[index] for key, own in enumerate(frames)})
        for score in [*scores, *(scorer.finish() if index == 5 else [])]:
            rows[score.key].append(score.scores)
    for key in (0, MAX_BATCH - 1, MAX_BATCH + 1):
        np.testing.assert_allclose(rows[key], expected(model, frames[key], SETTLED), atol=1e-5)


def test_one_call_of_the_kernel_takes_all_faces_a_step_further(
    folder: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, calls = rings.fuse_dynamics_step, []

    def counted(maps: Any, states: Any, *more: Any, **options: Any) -> Any:
        calls.append(len(states))
        return step(maps, states, *more, **options)

    monkeypatch.setattr(rings, "fuse_dynamics_step", counted)
    scorer = open_scorer(folder, "torch", SETTLED)
    for index in range(3):
        scorer.push({key: FRAMES[key][index] for key in "abc"})
    scorer.finish()
    assert calls == [3] * 3 + [3] * K


def test_auto_takes_a_backend_that_has_all_graphs_of_a_stream(exported: ModelFolder, tmp_path: Path) -> None:
    partly = ModelFolder.open(shutil.copytree(exported.path, tmp_path / "partly"))
    for graph in ("relations", "temporal"):
        (partly.path / f"{graph}.onnx").unlink()
    graphs = open_streams(ModelFolder.open(partly.path))
    assert graphs.encoder.backend == "torch" and "no relations.onnx" in graphs.choice
    with pytest.raises(BackendError, match=r"relations\.onnx"):
        open_streams(ModelFolder.open(partly.path), "onnxruntime")
