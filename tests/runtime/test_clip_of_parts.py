"""A folder without a graph of whole clips scores them with the graphs of its streams."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from engine_helpers import entries
from mdhr_sdk import ModelFolder
from mdhr_sdk.errors import BackendError, InputError
from mdhr_sdk.runtime import SessionOptions, open_session
from mdhr_sdk.runtime.stream.clip_of_parts import ClipOfParts

CPU = SessionOptions("cpu", threads=1)


@pytest.fixture
def in_parts(tiny_onnx_folder: Path, tmp_path: Path) -> Path:
    """A copy without graphs of whole clips."""
    folder = tmp_path / "parts"
    shutil.copytree(tiny_onnx_folder, folder, ignore=shutil.ignore_patterns("clip.*"))
    with entries(folder) as files:
        for name in [name for name in files if name.startswith("clip.")]:
            del files[name]
    return folder


@pytest.mark.parametrize("backend", ["auto", "onnxruntime", "openvino"])
def test_it_answers_like_one_graph(in_parts: Path, tiny_onnx_folder: Path, backend: str) -> None:
    whole, _ = open_session(ModelFolder.open(tiny_onnx_folder), "onnxruntime", CPU)
    session, choice = open_session(ModelFolder.open(in_parts), backend, CPU)
    assert isinstance(session, ClipOfParts) and not isinstance(whole, ClipOfParts)
    assert choice.split("; ")[0].endswith("fp32 on cpu, encoder, relations, temporal")
    assert (session.inputs, session.outputs) == (whole.inputs, whole.outputs)
    shape = [2, *(n or 0 for n in whole.inputs[0].shape[1:])]
    clip = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    wanted, found = (one.run({"clip": clip}) for one in (whole, session))
    assert list(found) == list(wanted)
    for name, array in wanted.items():
        assert found[name].dtype == np.float32
        np.testing.assert_allclose(found[name], array, atol=1e-5, rtol=1e-4, err_msg=name)
    assert np.ptp(wanted["scores"], axis=(0, 1)).max() > 1e-3, "scores vary"
    strided = clip[:, :, :, ::-1].copy()[:, :, :, ::-1]
    np.testing.assert_array_equal(session.run({"clip": strided})["scores"], found["scores"])


def test_it_refuses_what_a_graph_refuses(in_parts: Path) -> None:
    session, _ = open_session(ModelFolder.open(in_parts), "onnxruntime", CPU)
    with pytest.raises(InputError, match="input 'clip' must have the shape"):
        session.run({"clip": np.zeros((1, 3, 3, 32, 32), np.float32)})
    session.close()
    session.close()
    with pytest.raises(InputError, match="this session is closed"):
        session.run({"clip": np.zeros((1, 4, 3, 32, 32), np.float32)})


def test_a_graph_that_is_lost_is_told(tiny_onnx_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_onnx_folder, tmp_path / "lost", ignore=shutil.ignore_patterns("clip.onnx"))
    with pytest.raises(BackendError, match=r"the folder has no clip\.onnx"):
        open_session(ModelFolder.open(tmp_path / "lost"), "onnxruntime", CPU)


def test_it_needs_all_of_them(in_parts: Path) -> None:
    (in_parts / "temporal.onnx").unlink()
    with pytest.raises(BackendError, match=r"no clip\.onnx .*mdhr export"):
        open_session(ModelFolder.open(in_parts), "onnxruntime", CPU)


def test_streams_that_failed_are_not_used_for_clips(in_parts: Path) -> None:
    folder = ModelFolder.open(in_parts)
    digest = folder.manifest["encoder.onnx"]["sha256"]
    folder.note("encoder.onnx", digest, streams_in_onnxruntime_fp32={"0": {"failure": "max_score is 0.5"}})
    with pytest.raises(BackendError, match="do not answer like the weights in onnxruntime fp32"):
        open_session(ModelFolder.open(in_parts), "onnxruntime", CPU)
