"""What every backend must do alike, and which one is taken."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from engine_helpers import vouch
from mdhr_sdk.errors import BackendError, InputError, ModelFolderError
from mdhr_sdk.modelfolder.folder import ModelFolder
from mdhr_sdk.runtime import BACKENDS, Session, SessionOptions, open_session

torch = pytest.importorskip("torch")

REQUIRED = ("onnxruntime", "torch")  # in the test environment; any further backend is tested where it can run
OUTPUTS = {"scores": 12, "region_logits_0": 16, "region_logits_1": 2, "region_logits_2": 8, "region_logits_3": 16}


def clips(batch: int, seed: int = 1) -> np.ndarray:
    """(B, 4, 3, 96, 96) float32: coarse noise, half of it new in every frame."""
    rng = np.random.default_rng(seed)
    coarse = rng.standard_normal((batch, 1, 3, 12, 12)) + rng.standard_normal((batch, 4, 3, 12, 12))
    return np.kron(coarse, np.ones((8, 8))).astype(np.float32)


@pytest.fixture(scope="module", params=sorted(name for name, backend in BACKENDS.items() if "cpu" in backend.devices))
def session(request: pytest.FixtureRequest, tiny_onnx_folder: Path) -> Iterator[Session]:
    folder, options = ModelFolder.open(tiny_onnx_folder), SessionOptions("cpu", 1, "fp32")
    obstacle = BACKENDS[request.param].obstacle(folder, "clip", options)
    if obstacle and request.param not in REQUIRED:
        pytest.skip(obstacle)
    session, line = open_session(folder, request.param, options)
    assert line == f"{request.param} fp32 on cpu"
    yield session
    session.close()


@pytest.fixture(scope="module")
def model(tiny_folder: Path):
    from mdhr_sdk.model import load_model

    return load_model(tiny_folder)


def test_a_backend_tells_what_it_takes_and_gives(session: Session):
    (clip,) = session.inputs
    assert (clip.name, clip.dtype) == ("clip", "float32")
    assert clip.shape[0] is None and clip.shape[1] in (4, None) and clip.shape[2:] == (3, 96, 96)
    assert [spec.name for spec in session.outputs] == list(OUTPUTS)
    for spec in session.outputs:
        assert spec.dtype == "float32" and spec.shape == (None, clip.shape[1], OUTPUTS[spec.name])
    assert session.backend in BACKENDS and session.device == "cpu"


@pytest.mark.parametrize("batch", [1, 3])
def test_a_backend_answers_like_the_model(session: Session, model, batch: int):
    clip = clips(batch)
    before = clip.copy()
    with torch.inference_mode():
        wanted = model(torch.from_numpy(clip))
    got = session.run({"clip": clip})
    assert list(got) == list(OUTPUTS)
    for name, array in got.items():
        assert isinstance(array, np.ndarray) and array.dtype == np.float32
        assert array.shape == (batch, 4, OUTPUTS[name])
    assert np.abs(got["scores"] - wanted.scores.numpy()).max() <= 1e-5
    for index, logits in enumerate(wanted.region_logits):
        np.testing.assert_allclose(got[f"region_logits_{index}"], logits.numpy(), atol=1e-4)
    assert got["scores"].min() >= 0 and got["scores"].max() <= 1 + 1e-6
    assert got["scores"].std() > 0.05, "scores that do not vary would show nothing"
    assert np.array_equal(clip, before), "the input is the caller's"


def test_a_backend_gives_the_same_twice_and_clip_by_clip(session: Session):
    clip = clips(3)
    together = session.run({"clip": clip})["scores"]
    assert np.array_equal(session.run({"clip": clip})["scores"], together)
    alone = [session.run({"clip": one[None]})["scores"][0] for one in clip]
    np.testing.assert_allclose(alone, together, atol=1e-5)


def test_memory_layout_does_not_matter(session: Session):
    clip = clips(2)
    wanted = session.run({"clip": clip})["scores"]
    read_only = clip.copy()
    read_only.flags.writeable = False
    views = {
        "reversed": np.ascontiguousarray(clip[:, ::-1])[:, ::-1],
        "strided": np.repeat(clip, 2, axis=0)[::2],
        "Fortran": np.asfortranarray(clip),
        "channels last": np.ascontiguousarray(np.moveaxis(clip, 2, -1)).transpose(0, 1, 4, 2, 3),
        "read-only": read_only,
    }
    for name, view in views.items():
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            np.testing.assert_allclose(session.run({"clip": view})["scores"], wanted, atol=1e-6, err_msg=name)


@pytest.mark.parametrize(
    ("inputs", "hint"),
    [
        pytest.param({}, r"expected the inputs \['clip'\]; got \[\]", id="nothing"),
        pytest.param({"video": clips(1)}, "got .'video'", id="another name"),
        pytest.param({"clip": clips(1), "mask": clips(1)}, "'mask'", id="one too many"),
        pytest.param({"clip": clips(1).astype(np.float64)}, "float32 array; got float64", id="float64"),
        pytest.param({"clip": clips(1).astype(np.uint8)}, "float32 array; got uint8", id="uint8"),
        pytest.param({"clip": clips(1).astype(">f4")}, "float32 array", id="big-endian"),
        pytest.param({"clip": clips(1).tolist()}, "float32 array; got <class 'list'>", id="list"),
        pytest.param({"clip": torch.zeros(1, 4, 3, 96, 96)}, "float32 array", id="tensor"),
        pytest.param({"clip": clips(1)[0]}, "shape", id="no batch"),
        pytest.param({"clip": clips(1)[:0]}, "shape", id="empty batch"),
        pytest.param({"clip": clips(1)[:, :0]}, "shape", id="no frames"),
        pytest.param({"clip": clips(1)[:, :, :1]}, "shape", id="grey"),
        pytest.param({"clip": clips(1)[..., :64, :64]}, r"shape .*3, 96, 96.*got .*64", id="small"),
        pytest.param({"clip": np.moveaxis(clips(1), 2, -1)}, "shape", id="channels last"),
    ],
)
def test_other_inputs_are_refused(session: Session, inputs: dict, hint: str):
    with pytest.raises(InputError, match=hint):
        session.run(inputs)


def test_a_fixed_length_holds(session: Session):
    other = np.concatenate([clips(1), clips(1)], axis=1)
    if session.inputs[0].shape[1] is None:
        assert session.run({"clip": other})["scores"].shape == (1, 8, 12)
    else:
        with pytest.raises(InputError, match=r"\('any', 4, 3, 96, 96\); got \(1, 8"):
            session.run({"clip": other})


@pytest.mark.parametrize("backend", REQUIRED)
def test_a_closed_session_says_so(backend: str, tiny_onnx_folder: Path):
    session, _ = open_session(ModelFolder.open(tiny_onnx_folder), backend, SessionOptions("cpu", threads=1))
    session.close()
    session.close()
    with pytest.raises(InputError, match="closed"):
        session.run({"clip": clips(1)})


def test_auto_takes_torch_elsewhere_and_says_why_not_onnxruntime(tiny_folder: Path):
    session, line = open_session(ModelFolder.open(tiny_folder))
    assert session.backend == "torch"
    assert line.startswith(f"torch fp32 on {session.device}; ") and "; not onnxruntime: " in line
    assert "no clip.onnx" in line and f"mdhr export {tiny_folder} --format onnx" in line and "\n" not in line


def without(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == package else find_spec(name, *a))


@pytest.mark.parametrize("package", ["torch", "timm", "safetensors"])
def test_where_nothing_can_run_every_reason_is_given(tiny_folder: Path, monkeypatch, package: str):
    without(monkeypatch, package)
    reason = rf"not torch: the package '{package}' is not installed; .*pip install -e '\.\[torch\]'"
    with pytest.raises(BackendError, match=rf"no backend can run .*not onnxruntime: .*clip\.onnx.*{reason}"):
        open_session(ModelFolder.open(tiny_folder))


def test_auto_goes_past_a_missing_onnxruntime(tiny_onnx_folder: Path, monkeypatch):
    for package in ("onnxruntime", "openvino"):
        without(monkeypatch, package)
    session, line = open_session(ModelFolder.open(tiny_onnx_folder))
    assert session.backend == "torchscript" and "not onnxruntime: the package 'onnxruntime' is not installed" in line


def test_a_named_backend_is_never_replaced(tiny_folder: Path, tiny_onnx_folder: Path, monkeypatch):
    with pytest.raises(BackendError, match=r"'onnxruntime' cannot run .*no clip\.onnx .*mdhr export"):
        open_session(ModelFolder.open(tiny_folder), "onnxruntime")
    without(monkeypatch, "torch")
    with pytest.raises(BackendError, match=r"'torch' cannot run .*not installed"):
        open_session(ModelFolder.open(tiny_onnx_folder), "torch")


@pytest.fixture
def light(tiny_onnx_folder: Path, tmp_path: Path) -> Path:
    """A copy to change: `config.json`, `clip.onnx` and the manifest, no weights."""
    shutil.copytree(tiny_onnx_folder, tmp_path / "light", ignore=shutil.ignore_patterns("*.safetensors"))
    return tmp_path / "light"


def test_onnxruntime_needs_no_weights_and_torch_does(light: Path):
    session, _ = open_session(ModelFolder.open(light))
    assert session.run({"clip": clips(1)})["scores"].shape == (1, 4, 12)
    with pytest.raises(BackendError, match=r"no model\.safetensors"):
        open_session(ModelFolder.open(light), "torch")


@pytest.mark.parametrize("backend", ["auto", "onnxruntime"])
@pytest.mark.parametrize("damage", ["cut", "one bit"])
def test_a_damaged_graph_is_refused_and_not_passed_over(light: Path, backend: str, damage: str):
    data = bytearray((light / "clip.onnx").read_bytes())
    if damage == "cut":
        del data[len(data) // 2 :]
    else:
        data[len(data) // 2] ^= 1
    (light / "clip.onnx").write_bytes(data)
    with pytest.raises(ModelFolderError, match=r"clip\.onnx.*SHA-256"):
        open_session(ModelFolder.open(light), backend)


@pytest.mark.parametrize("data", [None, b"", b"not a graph"], ids=["cut", "empty", "text"])
def test_a_graph_that_cannot_be_loaded_is_a_folder_error(light: Path, data: bytes | None):
    graph = light / "clip.onnx"
    graph.write_bytes(graph.read_bytes()[:100_000] if data is None else data)
    vouch(light, "clip.onnx")
    with pytest.raises(ModelFolderError, match=r"onnxruntime cannot load .*clip\.onnx") as caught:
        open_session(ModelFolder.open(light))
    assert "\n" not in str(caught.value)


def test_a_graph_of_another_clip_length_is_refused(light: Path):
    config = json.loads((light / "config.json").read_text())
    config["clip_length"] = 8
    (light / "config.json").write_text(json.dumps(config))
    vouch(light, "config.json")
    with pytest.raises(BackendError, match=r"clip\.onnx was made for another architecture, input or clip length"):
        open_session(ModelFolder.open(light), "onnxruntime")


def test_a_graph_with_other_outputs_is_refused(light: Path):
    import onnx

    graph = onnx.load(light / "clip.onnx")
    del graph.graph.output[-1]
    onnx.save(graph, light / "clip.onnx")
    vouch(light, "clip.onnx")
    with pytest.raises(ModelFolderError, match=r"clip\.onnx must have the outputs .*region_logits_3"):
        open_session(ModelFolder.open(light))


KNOWN = "expected auto or one of tensorrt, tensorrt-rtx, onnxruntime, onnxr"


@pytest.mark.parametrize(
    ("backend", "options", "hint"),
    [
        *((name, {}, f"unknown backend '{name}'; {KNOWN}") for name in ("tensorflow", "", "Torch", "onnx")),
        *(
            (backend, {"device": name}, f"unknown device '{name}'; expected auto, cpu, cuda or cuda:N")
            for name in ("gpu", "", "cuda:x", "cuda:-1", "cpu:0", "auto:1", "CPU", "mps")
            for backend in ("auto", "torch")
        ),
        *(("auto", {"threads": count}, "threads must be an integer of at least 1") for count in (0, -1)),
    ],
)
def test_what_there_is_not_is_refused_with_what_there_is(tiny_folder: Path, backend: str, options: dict, hint: str):
    with pytest.raises(BackendError, match=hint):
        open_session(ModelFolder.open(tiny_folder), backend, SessionOptions(**options))


@pytest.mark.parametrize("device", ["cuda", "cuda:0"])
@pytest.mark.parametrize("backend", ["auto", "torch", "onnxruntime"])
def test_cuda_is_never_replaced_by_the_cpu(tiny_onnx_folder: Path, backend: str, device: str):
    import onnxruntime

    if torch.cuda.is_available() or "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("CUDA is here")
    with pytest.raises(BackendError, match=f"'{device}'"):
        open_session(ModelFolder.open(tiny_onnx_folder), backend, SessionOptions(device))


@pytest.mark.parametrize("backend", REQUIRED)
def test_the_number_of_threads_changes_no_score(tiny_onnx_folder: Path, backend: str):
    before, clip = torch.get_num_threads(), clips(1)
    try:
        scores = [
            open_session(ModelFolder.open(tiny_onnx_folder), backend, SessionOptions("cpu", n))[0].run({"clip": clip})
            for n in (1, 2)
        ]
    finally:
        torch.set_num_threads(before)
    np.testing.assert_allclose(scores[0]["scores"], scores[1]["scores"], atol=1e-5)


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino", "torchscript"])
def test_the_remedy_for_a_missing_graph_is_a_command_that_exists(tiny_folder: Path, backend: str):
    from typer.testing import CliRunner

    from mdhr_sdk.cli.app import app

    line = (
        BACKENDS[backend].obstacle(ModelFolder.open(tiny_folder), "encoder_u8", SessionOptions("cpu", 1, "fp32")) or ""
    )
    words = re.search(r"\((mdhr export .*)\)", line)
    assert words is not None and words[1].endswith("--graph encoder_u8")
    arguments = shlex.split(words[1].replace(str(tiny_folder), str(tiny_folder / "none")))[1:]
    result = CliRunner().invoke(app, arguments)  # parsed, and refused for the folder
    assert "does not exist" in str(result.exception)
