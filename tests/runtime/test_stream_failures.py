"""What breaks in one stream stays there, and what a stream is made from is what was verified."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fake_streams import PARAMETERS, STREAMING, FakeGraph
from mdhr_sdk.errors import BackendError, ModelFolderError, NotFiniteError
from mdhr_sdk.modelfolder.config import FolderConfig
from mdhr_sdk.modelfolder.folder import WEIGHTS, ModelFolder, sha256
from mdhr_sdk.runtime import TensorSpec
from mdhr_sdk.runtime.stream.parameters import read_parameters
from mdhr_sdk.runtime.stream.scorer import StreamScore, StreamScorer
from mdhr_sdk.runtime.stream.stream_graphs import StreamGraphs
from streams import folder_of

LOOKAHEADS = pytest.mark.parametrize("lookahead", [0, 3], ids=["window", "settled"])  # one of each kind of ring


def fake_scorer(lookahead: int, config: FolderConfig = STREAMING, **more: Any) -> StreamScorer:
    graphs = StreamGraphs(config, *map(FakeGraph, ("encoder", "relations", "temporal")), PARAMETERS, "", 1)  # type: ignore[arg-type]
    return StreamScorer(graphs, lookahead, **more)


def features(scorer: StreamScorer, *levels: float) -> dict[str, np.ndarray]:
    """What an encoder says of crops of these grey levels."""
    encoder = scorer.graphs.encoder
    return {spec.name: np.array(encoder._filled(spec.name, np.array(levels))) for spec in encoder.outputs}  # type: ignore[attr-defined]


def told(scores: list[StreamScore] | tuple[StreamScore, ...]) -> list[tuple[object, int, list[float]]]:
    return [(score.key, score.frame, score.scores.tolist()) for score in scores]


@LOOKAHEADS
@pytest.mark.parametrize("poison", [np.nan, np.inf])
@pytest.mark.parametrize("which", ["static", "map_2"])
def test_a_stream_that_is_no_number_ends_and_the_others_of_its_step_go_on(
    lookahead: int, poison: float, which: str
) -> None:
    alone, scorer = fake_scorer(lookahead), fake_scorer(lookahead)
    wanted, got, errors = [], [], []
    for index in range(9):
        wanted += told(alone.push_features(["a", "c"], features(alone, 1 + index, 30 + index)))
        keys = ["a", "c"] if errors else ["a", "b", "c"]
        levels = {"a": 1 + index, "b": 60 + index, "c": 30 + index}
        step = features(scorer, *(levels[key] for key in keys))
        if index == 4:
            step[which][1] = poison
        try:
            scores = scorer.push_features(keys, step)
        except NotFiniteError as error:
            assert 4 <= index <= 5, "settled rings relate a frame k = 1 later"
            assert error.keys == ("b",) and scorer.keys == ("a", "c")
            assert str(error).startswith("stream b: the model answered NaN or infinity")
            errors.append(error)
            scores = list(error.scores)
        got += [one for one in told(scores) if one[0] != "b"]
    assert len(errors) == 1
    assert got + told(scorer.finish()) == wanted + told(alone.finish())


@LOOKAHEADS
def test_scores_that_are_no_numbers_end_their_stream_also_at_its_end(
    lookahead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer = fake_scorer(max(lookahead, 1))
    for index in range(5):
        scorer.push_features(["a", "b"], features(scorer, 1 + index, 60 + index))
    temporal = scorer.graphs.temporal
    run = temporal.run

    def broken(inputs: Any) -> Any:
        scores = run(inputs)["scores"]
        scores[-1, 3] = np.nan  # the last frame of the last stream
        return {"scores": scores}

    monkeypatch.setattr(temporal, "run", broken)
    with pytest.raises(NotFiniteError) as caught:
        scorer.finish()
    assert caught.value.keys == ("b",) and scorer.keys == ()
    assert {score.key for score in caught.value.scores} == {"a"} and caught.value.scores[-1].frame == 4


@LOOKAHEADS
def test_what_a_ring_of_halves_cannot_hold_names_the_ring(lookahead: int) -> None:
    scorer = fake_scorer(lookahead, ring_dtype="float16")
    scorer.push_features([0], features(scorer, 1))
    with pytest.raises(NotFiniteError, match=r"or ring_dtype='float16' cannot hold it: try ring_dtype='float32'"):
        for index in range(STREAMING.clip_length):
            scorer.push_features([0], features(scorer, 1e9 * (index + 1)))


def test_the_dynamics_are_made_from_the_bytes_that_were_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = folder_of(tmp_path / "one"), folder_of(tmp_path / "other", weight_width=8)
    wanted, read = read_parameters(one, scaled=False), ModelFolder.read

    def replaced_after(self: ModelFolder, name: str) -> bytes:
        content = read(self, name)
        (self.path / name).write_bytes((other.path / name).read_bytes())
        return content

    monkeypatch.setattr(ModelFolder, "read", replaced_after)
    found = read_parameters(one, scaled=False)
    for name, array in wanted.arrays().items():
        np.testing.assert_array_equal(getattr(found, name), array)


@pytest.mark.parametrize(("content", "hint"), [(b"no tensors", "not a safetensors"), (None, "no tensor 'head.dyn")])
def test_weights_that_are_no_dynamics_are_a_folder_error(tmp_path: Path, content: bytes | None, hint: str) -> None:
    from safetensors.numpy import save

    folder = folder_of(tmp_path / "model")
    with folder.writing(WEIGHTS, {}) as path:
        path.write_bytes(save({"other": np.zeros(1, np.float32)}) if content is None else content)
    assert sha256(folder.path / WEIGHTS) == folder.manifest[WEIGHTS]["sha256"]
    with pytest.raises(ModelFolderError, match=hint):
        read_parameters(folder, scaled=False)


def test_openvino_that_fails_is_an_error_of_ours(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    from mdhr_sdk.runtime.backends.openvino import OpenVINOSession

    session = OpenVINOSession.__new__(OpenVINOSession)
    session.inputs, session.outputs = (TensorSpec("nodes", "float32", (None, 1)),), ()

    def fails(inputs: Any) -> Any:
        raise RuntimeError("Exception from src/inference:\n  out of   memory")

    session._model = fails
    with pytest.raises(BackendError, match="openvino failed on cpu: Exception from src/inference: out of memory; try"):
        session.run({"nodes": np.zeros((2, 1), np.float32)})
