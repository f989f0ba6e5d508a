"""`export/build_engine.py` as a person types it: what it prints, makes and refuses."""

from __future__ import annotations

import functools
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from commands import Command
from fake_tensorrt import FakeTensorRT
from mdhr_sdk.cli.parts import engine_building as engine
from mdhr_sdk.modelfolder.folder import ModelFolder

SCRIPT = Path(__file__).resolve().parents[2] / "export" / "build_engine.py"
Machine = Callable[..., FakeTensorRT]


@pytest.fixture
def run(command: Command, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Exit code, standard output and standard error of `build_engine.py ARGUMENTS`."""
    spec = importlib.util.spec_from_file_location("build_engine", SCRIPT)
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "build_engine", script)
    spec.loader.exec_module(script)
    return functools.partial(command, script.app)


def test_it_builds_and_says_what(run, head_folder: Path, gpu_machine: Machine) -> None:
    gpu_machine()
    code, out, err = run(head_folder, "--graph", "head", "--batch-opt", 2, "--batch-max", 4)
    assert (code, err) == (0, "")
    assert "head.engine: " in out and " MB, built in " in out and "largest difference of a score to the weights" in out
    code, out, _ = run(head_folder, "--graph", "head", "--batch-opt", 2, "--batch-max", 4)
    assert code == 0 and "up to date" in out


def test_a_dry_run_prints_the_plan_and_writes_nothing(run, head_folder: Path, gpu_machine: Machine) -> None:
    gpu_machine("10.3.0")
    before = sorted(path.name for path in head_folder.iterdir())
    code, out, err = run(head_folder, "--graph", "head", "--dry-run")
    assert (code, err) == (0, "")
    for part in ("head.engine", "from       head.onnx", "TensorRT 10.3.0", "Orin of compute capability 8.7", "1 to 8"):
        assert part in out
    assert "key " in out and "to be built" in out
    assert sorted(path.name for path in head_folder.iterdir()) == before
    (head_folder / "head.onnx").unlink()
    assert run(head_folder, "--graph", "head", "--dry-run")[1].startswith("would export head.onnx first")


@pytest.mark.slow
def test_a_graph_that_is_missing_is_exported_first(run, head_folder: Path, gpu_machine: Machine) -> None:
    gpu_machine()
    (head_folder / "head.onnx").unlink()
    code, out, _ = run(head_folder, "--graph", "head")
    assert code == 0 and out.startswith("exporting head.onnx first, which the folder lacks")
    assert {"head.onnx", "head.engine"} <= {path.name for path in head_folder.iterdir()}


def test_an_engine_for_elsewhere_says_that_it_was_not_compared(run, head_folder: Path, gpu_machine: Machine) -> None:
    gpu_machine("1.7.1.116", name="tensorrt_rtx").cuda.devices.clear()
    code, out, _ = run(head_folder, "--graph", "head", "--toolchain", "rtx")
    assert code == 0 and "not compared with the weights (this machine has no CUDA device to run it on)" in out


def test_without_arguments_an_untrained_model_is_made(
    run, tmp_path: Path, head_folder: Path, gpu_machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu_machine()
    monkeypatch.chdir(tmp_path)
    code, out, _ = run("--dry-run")
    assert code == 0 and out.startswith("would make models/untrained-resnet50") and not Path("models").exists()
    made = []

    def make(folder: Path, *arguments: object, **named: object) -> None:
        made.append((folder, *arguments, *named.values()))
        folder.parent.mkdir()
        head_folder.rename(folder)

    monkeypatch.setattr(engine, "make_folder", make)
    code, out, _ = run("--graph", "head")
    assert code == 0 and out.startswith("making models/untrained-resnet50: an untrained ResNet-50")
    assert made == [(engine.DEFAULT_MODEL, "bp4d", "resnet50", 5, 0, False, None)]
    assert ModelFolder.open(engine.DEFAULT_MODEL).has("head.engine")
    assert run("--graph", "head")[1].startswith("models/untrained-resnet50/head.engine")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--toolchain", "onnx"), "toolchain of an engine must be one of tensorrt, rtx; got 'onnx'"),
        (("--precision", "fp8"), "precision of an engine must be one of fp32, fp16, int8; got 'fp8'"),
        (("--precision", "int8"), "the head has no int8 form"),
        (("--batch-min", "3"), "batch_opt"),
        (("--compute-capability", "8.6"), "leave out compute_capabilities"),
        (("--graph", "tail"), "graph of an engine must be one of clip"),
        (("--optimization-level", "9"), "optimization_level"),
    ],
)
def test_bad_options_are_one_line(run, head_folder: Path, gpu_machine: Machine, arguments, message: str) -> None:
    gpu_machine()
    code, _, err = run(head_folder, "--graph", "head", *arguments)
    assert code == 2 and err.startswith("error: ") and err.count("\n") == 1 and message in err


def test_a_folder_that_is_not_there_is_one_line(run, tmp_path: Path, gpu_machine: Machine) -> None:
    gpu_machine()
    code, _, err = run(tmp_path / "none")
    assert code == 2 and err.count("\n") == 1 and "does not exist" in err


def test_without_tensorrt_every_remedy_is_named_before_any_work(
    run, tmp_path: Path, gpu_machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu_machine(name="tensorrt_rtx")
    monkeypatch.chdir(tmp_path)
    code, out, err = run()
    assert (code, out) == (2, "") and err.count("\n") == 1
    for remedy in ("JetPack", "pip install tensorrt", "--toolchain rtx"):
        assert remedy in err
    assert not list(tmp_path.glob("models"))


def test_tensorrt_that_does_not_load_is_one_line(
    run, head_folder: Path, tmp_path: Path, gpu_machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu_machine()
    monkeypatch.delitem(sys.modules, "tensorrt")
    (tmp_path / "tensorrt.py").write_text("raise ImportError('libnvinfer.so.10: cannot open shared object file')")
    monkeypatch.syspath_prepend(tmp_path)
    code, _, err = run(head_folder, "--graph", "head")
    assert code == 2 and "TensorRT is installed and does not load: libnvinfer.so.10" in err and err.count("\n") == 1


def test_what_an_untrained_model_needs_is_said_before_it_is_made(
    run, tmp_path: Path, gpu_machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu_machine()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "onnxsim", None)
    code, out, err = run()
    assert (code, out) == (2, "") and "'onnxsim', which is not installed" in err and "'.[export]'" in err
    assert not Path("models").exists()
