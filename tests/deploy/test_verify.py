"""Verification: every artefact against the weights, and what failed is used no more."""

from __future__ import annotations

import runpy
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import onnxruntime
import pytest
from typer.testing import CliRunner

from engine_helpers import entries, shift_scores, vouch
from mdhr_sdk.cli.app import app
from mdhr_sdk.deploy import LIMITS, Broken, Judge, ParityReport, export_graphs, verify
from mdhr_sdk.errors import BackendError, ExportError, ModelFolderError
from mdhr_sdk.modelfolder.folder import ModelFolder
from mdhr_sdk.runtime import BACKENDS, SessionOptions, open_session
from mdhr_sdk.runtime.backends import openvino as openvino_session

ROOT = Path(__file__).parents[2]
WIDE = {"COLUMNS": "200"}


@pytest.fixture
def folder(tiny_onnx_folder: Path, tmp_path: Path) -> Path:
    """A copy with the head in ONNX and nothing else that was exported."""
    copy = Path(shutil.copytree(tiny_onnx_folder, tmp_path / "model"))
    with entries(copy) as files:
        for name in [name for name in files if "graph" in files[name].get("options", {}) and name != "head.onnx"]:
            (copy / name).unlink()
            del files[name]
    return copy


def test_a_good_folder_is_equal_and_says_so(folder: Path) -> None:
    result = CliRunner().invoke(app, ["verify", str(folder)])
    assert result.exit_code == 0 and "head.onnx" in result.stdout and "equal" in result.stdout
    assert max(map(len, result.stdout.splitlines())) > 80 and "…" not in result.stdout, "cut for a narrow terminal"


def test_what_differs_is_named_noted_and_used_no_more(folder: Path) -> None:
    session, _ = open_session(ModelFolder.open(folder), "onnxruntime", SessionOptions("cpu"), "head")
    session.close()
    shift_scores(folder, "head.onnx")
    result = CliRunner().invoke(app, ["verify", str(folder)])
    assert isinstance(result.exception, ExportError) and "head.onnx: max_score is" in str(result.exception)
    assert (folder / "head.onnx").exists(), "it is the user's file"
    with pytest.raises(
        BackendError, match=r"head.onnx does not answer like the weights: max_score is .*compare again: mdhr verify"
    ):
        open_session(ModelFolder.open(folder), "onnxruntime", SessionOptions("cpu"), "head")
    again = dict(verify(folder))["head.onnx"]
    assert isinstance(again, ParityReport) and again.failure, "looked at anew, whatever was noted"


@pytest.mark.slow
def test_a_failure_on_footage_outlives_comparisons_without_it_and_the_same_bytes_made_anew(folder: Path) -> None:
    """A subtle face can show what pictures in motion do not."""
    target = ModelFolder.open(folder)
    digest = target.manifest["head.onnx"]["sha256"]
    failed = {**target.manifest["head.onnx"]["parity"], "failure": "max_score is 0.5", "on": "face.mp4"}
    target.note("head.onnx", digest, parity=failed, parity_in_openvino_bf16=failed)
    report = dict(verify(folder, backends=["onnxruntime"]))["head.onnx"]
    assert isinstance(report, ParityReport) and not report.failure
    export_graphs(folder, graphs=["head"])
    entry = ModelFolder.open(folder).manifest["head.onnx"]
    assert entry["sha256"] == digest and entry["parity"] == entry["parity_in_openvino_bf16"] == failed
    with pytest.raises(BackendError, match=r"0\.5 \(take another, or compare again: mdhr verify .* --on face\.mp4"):
        open_session(ModelFolder.open(folder), "onnxruntime", HEAD, "head")


def test_the_weights_lift_what_was_noted_without_them(folder: Path) -> None:
    target = ModelFolder.open(folder)
    vouch(folder, "head.onnx", parity_in_onnxruntime_fp32={"failure": "max_score is 0.5", "against": "clip.onnx"})
    with pytest.raises(BackendError, match=r"max_score is 0\.5"):
        open_session(target, "onnxruntime", HEAD, "head")
    report = dict(verify(folder, backends=["onnxruntime"]))["head.onnx"]
    assert isinstance(report, ParityReport) and target.manifest["head.onnx"]["parity"] == report.to_dict()
    open_session(target, "onnxruntime", HEAD, "head")[0].close()


HEAD = SessionOptions("cpu", precision="fp32")
BF16 = SessionOptions("cpu", precision="bf16")


def test_every_backend_that_takes_a_file_is_compared_in_every_precision_it_makes_of_it(folder: Path) -> None:
    pytest.importorskip("openvino")
    head = ModelFolder.open(folder)
    wanted = ["head.onnx", "head.onnx, openvino fp32"]
    if BACKENDS["openvino"].obstacle(head, "head", BF16) is None:
        wanted.append("head.onnx, openvino bf16")
    found = dict(verify(folder))
    assert list(found) == wanted
    entry = head.manifest["head.onnx"]
    for name, report in found.items():
        assert isinstance(report, ParityReport) and not report.failure
        backend, _, precision = (name.partition(", ")[2] or "onnxruntime fp32").partition(" ")
        key = "parity" if backend == "onnxruntime" else f"parity_in_{backend}_{precision}"
        assert report.precision == precision and entry[key] == report.to_dict()
    if len(wanted) == 3:
        exact, rounded = found[wanted[1]], found[wanted[2]]
        assert 1e-5 < rounded.mean_score <= LIMITS["bf16"].mean_score and exact.mean_score < 1e-6  # type: ignore[union-attr]
        result = CliRunner().invoke(app, ["verify", str(folder), "--backend", "openvino"])
        assert result.exit_code == 0 and "bf16" in result.stdout and "within" in result.stdout


def test_a_precision_that_this_machine_lacks_is_told_and_not_judged(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenVINO takes the hint 'bf16' on a CPU without it, and computes something that nobody asked for."""
    pytest.importorskip("openvino")
    monkeypatch.setattr(openvino_session, "_capabilities", lambda: ["FP32", "INT8"])
    assert "head.onnx, openvino bf16" not in dict(verify(folder)), "as whatever else cannot run here"
    named = dict(verify(folder, backends=["openvino"]))
    assert named["head.onnx, openvino bf16"] == "this CPU has no bf16 instructions"
    assert isinstance(named["head.onnx, openvino fp32"], ParityReport)
    assert "parity_in_openvino_bf16" not in ModelFolder.open(folder).manifest["head.onnx"]
    with pytest.raises(BackendError, match="no bf16 instructions"):
        BACKENDS["openvino"].open_graph(ModelFolder.open(folder), "head", BF16)


def test_what_one_backend_makes_of_a_file_is_refused_there_only(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino")
    monkeypatch.setitem(LIMITS, "fp32", replace(LIMITS["fp32"], max_score=-1.0))
    result = CliRunner().invoke(app, ["verify", str(folder), "--backend", "openvino"])
    assert isinstance(result.exception, ExportError)
    assert "head.onnx, openvino fp32: max_score is" in str(result.exception)
    with pytest.raises(BackendError, match=r"head\.onnx does not answer like the weights: max_score is"):
        open_session(ModelFolder.open(folder), "openvino", HEAD, "head")
    session, line = open_session(ModelFolder.open(folder), "auto", HEAD, "head")
    assert line == "onnxruntime fp32 on cpu"
    session.close()


def test_backends_to_compare_in_can_be_named(folder: Path) -> None:
    assert set(dict(verify(folder, backends=["onnxruntime"]))) == {"head.onnx"}
    if "TensorrtExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("the provider is here")
    told = dict(verify(folder, backends=["onnxruntime-tensorrt"]))
    assert list(told) == ["head.onnx, onnxruntime-tensorrt fp32"], "and of one that was named it is said why not"
    assert "needs TensorrtExecutionProvider" in str(told["head.onnx, onnxruntime-tensorrt fp32"])
    words = ["verify", str(folder), "--backend", "onnxruntime-tensorrt"]
    result = CliRunner().invoke(app, words, env=WIDE)
    assert isinstance(result.exception, BackendError) and "needs TensorrtExecutionProvider" in str(result.exception)
    assert "not run" in result.stdout
    assert CliRunner().invoke(app, [*words, "--backend", "onnxruntime"]).exit_code == 0, "something ran"
    with pytest.raises(BackendError, match="unknown backend 'tensorflow'; expected some of tensorrt, "):
        list(verify(folder, backends=["tensorflow"]))


def test_a_folder_without_exported_graphs_says_how_to_make_some(tiny_folder: Path) -> None:
    result = CliRunner().invoke(app, ["verify", str(tiny_folder)])
    assert isinstance(result.exception, ExportError) and f"mdhr export {tiny_folder}" in str(result.exception)


def test_graphs_that_a_backend_does_not_run_are_not_denied(folder: Path) -> None:
    result = CliRunner().invoke(app, ["verify", str(folder), "--backend", "torchscript"])
    assert isinstance(result.exception, ExportError)
    assert "torchscript runs none of what" in str(result.exception) and "which is head.onnx" in str(result.exception)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("head.fp8.onnx", {"graph": "head", "precision": "fp8"}),
        ("tail.onnx", {"graph": "tail", "precision": "fp32"}),
        ("clip.fp16.tflite", {"graph": "clip", "precision": "fp16"}),
    ],
)
def test_what_a_later_version_wrote_is_told_and_the_rest_is_compared(
    folder: Path, name: str, options: dict[str, str]
) -> None:
    shutil.copy(folder / "head.onnx", folder / name)
    vouch(folder, name, options=options)
    told = dict(verify(folder))
    assert f"no backend of this version runs {name}" in str(told[name])
    assert isinstance(told["head.onnx"], ParityReport) and not told["head.onnx"].failure
    foreign = [name] if name.endswith("tflite") else []  # which the named backend cannot have left out
    assert list(dict(verify(folder, backends=["onnxruntime"]))) == ["head.onnx", *foreign]


def test_an_entry_without_a_digest_is_broken(folder: Path) -> None:
    with entries(folder) as files:
        del files["head.onnx"]["sha256"]
    assert "does not vouch for head.onnx" in refused(folder)


@pytest.mark.parametrize("command", ["verify", "doctor"])
def test_a_damaged_manifest_is_one_line(folder: Path, command: str) -> None:
    vouch(folder, "head.onnx", parity="x")
    result = CliRunner().invoke(app, [command, str(folder)])
    assert isinstance(result.exception, ModelFolderError) and "of head.onnx it says" in str(result.exception)


def test_what_cannot_be_noted_is_told_all_the_same(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def note(*_: object, **__: object) -> None:
        raise ModelFolderError("'manifest.json' cannot be written: Read-only file system")

    before = (folder / "manifest.json").read_bytes()
    words = ["verify", str(folder), "--backend", "onnxruntime"]
    monkeypatch.setattr(ModelFolder, "note", note)
    result = CliRunner().invoke(app, words, env=WIDE)
    assert isinstance(result.exception, ModelFolderError) and "equal" in result.stdout
    assert str(result.exception).startswith("not all that was compared could be noted: ")
    shift_scores(folder, "head.onnx")
    result = CliRunner().invoke(app, words, env=WIDE)
    assert isinstance(result.exception, ModelFolderError) and "differs" in result.stdout
    assert "head.onnx: max_score is" in str(result.exception) and "Read-only" in str(result.exception)
    assert b"max_score is" not in before and b"max_score is" not in (folder / "manifest.json").read_bytes()


def test_what_was_compared_before_an_interrupt_is_printed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino")
    compare = Judge.compare

    def interrupted(judge, session, graph):  # type: ignore[no-untyped-def]
        if session.backend == "openvino":
            raise KeyboardInterrupt
        return compare(judge, session, graph)

    monkeypatch.setattr(Judge, "compare", interrupted)
    result = CliRunner().invoke(app, ["verify", str(folder)])
    assert result.exit_code != 0 and "equal" in result.stdout


def refused(folder: Path, *more: str) -> str:
    """What `mdhr verify` fails with."""
    result = CliRunner().invoke(app, ["verify", str(folder), "--backend", "onnxruntime", *more])
    assert isinstance(result.exception, ExportError) and "broken" in result.stdout and "not run" not in result.stdout
    return str(result.exception)


def test_a_damaged_graph_fails(folder: Path) -> None:
    with (folder / "head.onnx").open("ab") as file:
        file.write(b"!")
    assert "head.onnx' has other bytes than manifest.json says" in refused(folder)
    assert isinstance(dict(verify(folder, backends=["openvino"]))["head.onnx"], Broken), "whichever is to run it"


def test_a_graph_of_other_weights_fails_and_one_that_is_gone_is_told(folder: Path) -> None:
    vouch(folder, "head.onnx", source_sha256="0" * 64)
    assert "head.onnx was made from other weights than model.safetensors" in refused(folder)
    (folder / "head.onnx").unlink()
    result = CliRunner().invoke(app, ["verify", str(folder)])
    assert result.exit_code == 0 and "not run" in result.stdout


def test_a_graph_that_cannot_be_loaded_fails_and_is_noted(folder: Path) -> None:
    (folder / "head.onnx").write_bytes(b"no graph")
    vouch(folder, "head.onnx")
    assert "onnxruntime cannot load" in refused(folder)
    assert "cannot load" in ModelFolder.open(folder).manifest["head.onnx"]["parity"]["failure"]


def test_outputs_of_another_shape_fail_and_are_noted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def compare(*_: object) -> ParityReport:
        raise ExportError("output 'scores' must have the shape (2, 4, 12); the graph gives (2, 4, 8)")

    monkeypatch.setattr(Judge, "compare", compare)
    assert "the graph gives (2, 4, 8)" in refused(folder)
    assert "(2, 4, 8)" in ModelFolder.open(folder).manifest["head.onnx"]["parity"]["failure"]


def test_a_file_that_is_exported_anew_meanwhile_is_not_noted_as_compared(folder: Path) -> None:
    one, other = ModelFolder.open(folder), ModelFolder.open(folder)
    before = one.manifest["head.onnx"]["sha256"]
    with other.writing("head.onnx", {"tool": "another"}) as path:
        path.write_bytes(b"another")
    with pytest.raises(ModelFolderError, match=r"head\.onnx was replaced or removed meanwhile; try again"):
        one.note("head.onnx", before, parity={"failure": ""})
    with pytest.raises(ModelFolderError, match=r"clip\.onnx was replaced or removed"):
        one.note("clip.onnx", before, parity={})
    assert "parity" not in one.manifest["head.onnx"]


@pytest.mark.parametrize("script", ["to_onnx.py", "to_torchscript.py"])
def test_scripts_export_and_tell_bad_input_in_one_line(
    script: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [script, str(tmp_path / "none")])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(ROOT / "export" / script), run_name="__main__")
    said = capsys.readouterr().err
    assert stop.value.code == 2 and said.count("\n") == 1
    assert said.startswith("error: model folder") and "does not exist" in said
