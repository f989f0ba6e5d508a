"""Golden arrays: complete, the same every time, and enough for code that knows nothing of mdhr_sdk."""

from __future__ import annotations

import ast
import itertools
import json
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from mdhr_sdk import AUDetector
from mdhr_sdk.cli.app import app
from mdhr_sdk.deploy.export import golden
from mdhr_sdk.deploy.export.golden_faces import Seen
from mdhr_sdk.errors import ExportError
from mdhr_sdk.modelfolder.folder import ModelFolder
from mdhr_sdk.pipeline.scores import intensity
from mdhr_sdk.pipeline.scores.geometry import FILE, INPUTS, GeometryModel
from mdhr_sdk.runtime import SessionOptions, open_session
from mdhr_sdk.vision.faces.geometry import MEASURES, mean_face, measures

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "stream_from_docs.py"
ITS_CROP, ITS_GEOMETRY = (EXAMPLE.with_name(f"{name}_from_docs.py") for name in ("crop", "geometry"))


def made_faces(most: int) -> list[Seen]:
    rng = np.random.default_rng(0)
    mesh, depth = rng.uniform(20, 75, (478, 2)), rng.normal(0, 9, 478)
    mesh[[33, 133, 362, 263, 2]] = [(20, 40), (35, 41), (60, 41), (75, 40), (48, 62)]
    moving = rng.normal(0, 0.3, (most, 478, 2))
    moving[:, [33, 133, 362, 263, 2]] = rng.normal(0, 1, (most, 1, 2))
    pictures = rng.integers(0, 256, (most, 96, 110, 3), dtype=np.uint8)
    pairs = zip(pictures, moving, strict=True)
    return [Seen(picture, (mesh + by).astype(np.float32).astype(np.float64), depth) for picture, by in pairs]


@pytest.fixture
def folder_with_geometry(tiny_onnx_folder: Path, tmp_path: Path) -> Path:
    """One of random networks, in which some AUs have no share or no intensity, and some are judged relative."""
    folder = ModelFolder.open(tiny_onnx_folder).copy(tmp_path / "with-geometry")
    aus, rng = len(folder.config.thresholds), np.random.default_rng(5)
    mesh = np.column_stack([made_faces(1)[0].mesh, made_faces(1)[0].depth])
    mean = mean_face(mesh[None])
    sizes = (INPUTS, 6, 5, aus + 1)
    weights = tuple(rng.normal(0, 0.1, (3, b, a)) for a, b in itertools.pairwise(sizes))
    biases = tuple(rng.normal(0, 0.1, (3, b)) for b in sizes[1:])
    spread, shares = np.full(MEASURES, 0.05), np.resize([0.5, 0.0, 1.0, 0.3], aus)
    rest, relative = rng.normal(-2, 0.5, aus), np.resize([1.0, 0.5, 0.0], aus)
    measured = measures(mesh[None], mean)[0]
    arrays = {
        "reference": mean, "mean": measured, "spread": spread, "absolute_spread": 2 * spread, "weights": weights,
        "biases": biases, "rest_logits": rest, "relative": relative, "shares": shares,
        "refinement": np.zeros(MEASURES), "offset": rng.normal(0, 0.3, aus),
        **{name: np.eye(aus) + rng.normal(0, 0.1, (aus, aus)) for name in ("from_scores", "from_geometry")},
    }  # fmt: skip
    model = GeometryModel(**{one.name: arrays[one.name] for one in fields(GeometryModel)})
    told = np.resize([True, False, True], aus)
    knots, levels = (np.sort(rng.normal(0, 2, (aus, 6))), np.sort(rng.uniform(0, 1, (aus, 6))))
    strong = intensity.IntensityModel(np.abs(rng.normal(0, 1, (aus, intensity.INPUTS))), knots, levels, told)
    for name, content in {FILE: model.to_bytes(), intensity.FILE: strong.to_bytes()}.items():
        with folder.writing(name, {}) as path:
            path.write_bytes(content)
    config = replace(folder.config, geometry=tuple(shares.tolist()), intensity=tuple(told.tolist()))
    with folder.writing("config.json", {}) as path:
        path.write_text(config.to_json())
    return folder.path


@pytest.fixture
def written(tiny_onnx_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(golden, "bundled_faces", made_faces)
    told = list(golden.write_golden(tiny_onnx_folder, 2, tmp_path / "one"))
    assert [line.partition(":")[0] for line in told] == ["left out", "left out", str(tmp_path / "one")]
    list(golden.write_golden(tiny_onnx_folder, 2, tmp_path / "two"))
    return tmp_path


def test_the_raw_files_hold_what_the_npz_holds_and_both_are_the_same_every_time(written: Path) -> None:
    one, two = written / "one", written / "two"
    index = json.loads((one / "index.json").read_text())
    assert set(index["left_out"]) == {"clip_u8", "encoder_u8"}
    with np.load(one / "golden.npz") as arrays:
        assert set(arrays.files) == set(index["arrays"])
        for name, told in index["arrays"].items():
            raw = np.fromfile(one / told["file"], np.dtype(told["dtype"]).newbyteorder("<")).reshape(told["shape"])
            assert np.array_equal(raw, arrays[name]) and raw.size > 0, name
    files = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(two) for path in two.rglob("*") if path.is_file())
    assert all((one / file).read_bytes() == (two / file).read_bytes() for file in files)


def test_the_arrays_are_what_the_graphs_answer(written: Path, tiny_onnx_folder: Path) -> None:
    folder = ModelFolder.open(tiny_onnx_folder)
    with np.load(written / "one" / "golden.npz") as arrays:
        for graph in ("clip", "encoder", "head", "relations", "temporal"):
            session, _ = open_session(folder, "onnxruntime", SessionOptions("cpu", threads=1), graph)
            names = [name for name in arrays.files if name.startswith(f"sequence_1/{graph}/")]
            inputs = {name.rpartition("/")[2]: arrays[name] for name in names if "/inputs/" in name}
            for name, wanted in session.run(inputs).items():
                np.testing.assert_array_equal(arrays[f"sequence_1/{graph}/outputs/{name}"], wanted)
            session.close()
        own, frames = arrays["sequence_1/clip/outputs/scores"], folder.config.clip_length * 3 // 2 + 1
        rows = own.reshape(-1, own.shape[-1])[:frames]
        np.testing.assert_array_equal(arrays["sequence_1/clip_scores"], np.clip(rows, 0, 1))
        whole = arrays[f"sequence_1/stream_scores_{folder.config.clip_length - 1}"]
        assert whole.shape == (frames, rows.shape[1])
        np.testing.assert_allclose(whole[0], rows[0], atol=1e-5, err_msg="its window is the first clip")


def test_code_from_the_page_agrees(written: Path, tiny_onnx_folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, EXAMPLE, written / "one", tiny_onnx_folder], capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "stream, L = 0" in done.stdout and "clip mode" in done.stdout and "crops of views" in done.stdout


def test_code_from_the_page_gives_the_final_scores_of_a_model_with_geometry(
    folder_with_geometry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(golden, "bundled_faces", made_faces)
    list(golden.write_golden(folder_with_geometry, 1, tmp_path / "golden"))
    command = [sys.executable, EXAMPLE, tmp_path / "golden", folder_with_geometry]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "final clip_scores" in done.stdout and "final stream_scores_3" in done.stdout
    with np.load(tmp_path / "golden" / "golden.npz") as arrays:
        plain, uneven, alone = (
            arrays[f"sequence_0/{name}clip_scores"] for name in ("geometry/steady/", "geometry/uneven/", "")
        )
        assert (plain[:, 1] == alone[:, 1]).all(), "an AU without a share keeps its score"
        assert np.abs(plain - alone).max() > 0.05 and np.abs(plain - uneven).max() > 1e-3
        strong = arrays["sequence_0/geometry/steady/clip_intensities"]
        assert np.isnan(strong[:, 1]).all() and strong[:, 0].std() > 0.01 and "clip_intensities" in done.stdout


def test_that_code_knows_nothing_of_the_sdk_and_has_the_lists_of_the_page() -> None:
    names = set()
    for path in (EXAMPLE, ITS_CROP, ITS_GEOMETRY):
        imports = [
            n for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, ast.Import | ast.ImportFrom)
        ]
        names |= {a.name for node in imports if isinstance(node, ast.Import) for a in node.names}
        names |= {node.module for node in imports if isinstance(node, ast.ImportFrom)}
    allowed = {"__future__", "collections.abc", "json", "pathlib", "struct", "sys", "numpy", "onnxruntime"}
    assert names == {*allowed, "crop_from_docs", "geometry_from_docs"}
    page = (ROOT / "docs" / "graphs.md").read_text("utf-8")
    lists = page[page.index("RIGID = (") :].partition("```")[0]
    assert lists in ITS_GEOMETRY.read_text("utf-8").replace("  # fmt: skip", "")


@pytest.mark.parametrize("count", [0, -1, 21])
def test_a_number_out_of_range_is_refused(tiny_onnx_folder: Path, tmp_path: Path, count: int) -> None:
    with pytest.raises(ExportError, match=f"from 1 to 20 sequences; got {count}"):
        list(golden.write_golden(tiny_onnx_folder, count, tmp_path / "golden"))


def test_nothing_that_is_there_is_written_over(tiny_onnx_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for there in (tmp_path, tmp_path / "link"):
        with pytest.raises(ExportError, match=r"a new folder for the golden arrays; '.*' is there"):
            list(golden.write_golden(tiny_onnx_folder, 1, there))


def test_a_folder_without_graphs_is_told_how_to_make_them(tiny_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="has no graph to run; make them: mdhr export"):
        list(golden.write_golden(tiny_folder, 1, tmp_path / "golden"))
    assert not any(tmp_path.iterdir())


def test_graphs_and_golden_arrays_are_not_asked_for_at_once() -> None:
    done = CliRunner().invoke(app, ["export", "edge", "--golden", "1", "--precision", "fp16"])
    assert isinstance(done.exception, ExportError) and "give it --out alone" in str(done.exception)


WITHOUT_TORCH = "import sys; sys.modules['torch'] = None; from mdhr_sdk.cli.app import main; main()"


@pytest.mark.slow
def test_the_bundled_model_needs_no_pytorch_and_agrees_with_code_from_the_page(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WITHOUT_TORCH, "export", "edge", "--golden", "1", "--out", tmp_path / "golden"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and "of 1 sequences" in done.stdout, done.stderr
    folder = ModelFolder.open("edge").path
    told = subprocess.run([sys.executable, EXAMPLE, tmp_path / "golden", folder], capture_output=True, text=True)
    assert told.returncode == 0, told.stdout + told.stderr
    assert "ring, L = 7" in told.stdout and "final stream_scores_7" in told.stdout
    with np.load(tmp_path / "golden" / "golden.npz") as arrays:
        wanted = arrays["sequence_0/geometry/steady/stream_scores_15"]
        strong = arrays["sequence_0/geometry/steady/stream_intensities_15"]
        with AUDetector.from_pretrained("edge", max_faces=1, backend="onnxruntime", all_aus=True) as detector:
            results = detector.predict(iter(arrays["sequence_0/frames"]), fps=25, mode="stream", lookahead=15)
    own = [[au.probability for au in frame.faces[0].aus.values()] for frame in results]
    np.testing.assert_allclose(own, wanted, atol=1e-6)
    told = [[au.intensity for au in frame.faces[0].aus.values()] for frame in results]
    np.testing.assert_allclose(np.array(told, float), strong, atol=1e-4)
