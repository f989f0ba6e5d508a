"""The latency benchmark: turns that are fair, rows that say why, and a whole run on a small folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from benchmarks.speed import latency, measuring
from benchmarks.speed.candidates import BASELINE, Candidate, Settings
from benchmarks.speed.latency import app
from benchmarks.speed.measuring import LEAST_ROUNDS, MATMULS, measure
from benchmarks.speed.workers import WorkerError
from mdhr_sdk.aus import label_set
from mdhr_sdk.errors import BackendError
from mdhr_sdk.modelfolder.config import FolderConfig, ModelConfig
from mdhr_sdk.modelfolder.folder import ModelFolder

Command = Callable[..., tuple[int, str, str]]
ORT, TORCH = Candidate("onnxruntime"), Candidate("torch")


class FakeWorker:
    """Answers at once; fails where `fails` says so: at 'ready' or in that turn."""

    calls: ClassVar[list[str]] = []
    requests: ClassVar[list[dict[str, Any]]] = []
    fails: ClassVar[dict[str, int | str]] = {}

    def __init__(self, request: dict[str, Any]) -> None:
        self.name, self.turns = request["backend"], 0
        self.requests.append(request)

    def __enter__(self) -> FakeWorker:
        return self

    def __exit__(self, *_: object) -> None:
        self.calls.append(f"closed {self.name}")

    def ready(self) -> dict[str, Any]:
        if self.fails.get(self.name) == "ready":
            raise WorkerError("it has no such graph")
        return {"size": 10, "scores": [[0.5]], "rss_loaded_mib": 1.0}

    def turn(self, seconds: float) -> dict[str, Any]:
        self.calls.append(self.name)
        if self.fails.get(self.name) == self.turns:
            raise WorkerError("its process was ended by SIGKILL")
        self.turns += 1
        return {"latencies_ms": [float(self.turns)], "rss_peak_mib": 2.0}


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> type[FakeWorker]:
    FakeWorker.calls, FakeWorker.requests, FakeWorker.fails = [], [], {}
    monkeypatch.setattr(measuring, "Worker", FakeWorker)
    monkeypatch.setattr(measuring, "SETTLE_S", 0)
    monkeypatch.setattr(measuring, "ask_once", lambda request: {"difference": 1e-7})
    monkeypatch.setattr(measuring, "demo_crops", lambda size: np.zeros((16, size, size, 3), np.uint8))
    return FakeWorker


def run(folder: Path, *planned: Candidate, rounds: int = 4, graph: str = "clip") -> measuring.Measured:
    return measure(ModelFolder.open(folder), Settings(graph, rounds=rounds), dict.fromkeys(planned))


def test_candidates_take_turns_and_nobody_is_always_first(tiny_folder: Path, fakes: type[FakeWorker]) -> None:
    measured = run(tiny_folder, BASELINE, ORT)
    names = ["released", "onnxruntime", "matmul-numpy", "matmul-torch"]
    turns = [name for name in fakes.calls if not name.startswith("closed")]
    rounds = [turns[i : i + 4] for i in range(0, 16, 4)]
    assert [turn[0] for turn in rounds] == names and all(sorted(turn) == sorted(names) for turn in rounds)
    assert fakes.calls[16:] == [f"closed {name}" for name in reversed(names)]
    assert measured.turns_ms == {c: [[1.0], [2.0], [3.0], [4.0]] for c in (BASELINE, ORT, *MATMULS.values())}
    assert measured.baseline_difference == 1e-7 and not measured.failed
    assert len({(r["folder"], r["threads"], r["device"]) for r in fakes.requests}) == 1
    assert len({r["inputs"] for r in fakes.requests if r["job"] == "session"}) == 1


def test_who_fails_becomes_a_reason_and_the_others_go_on(tiny_folder: Path, fakes: type[FakeWorker]) -> None:
    fakes.fails = {"torch": "ready", "onnxruntime": 2}
    measured = run(tiny_folder, BASELINE, ORT, TORCH)
    assert measured.failed == {TORCH: "it has no such graph", ORT: "its process was ended by SIGKILL"}
    assert len(measured.turns_ms[BASELINE]) == 4 and not {ORT, TORCH} & set(measured.turns_ms)
    assert fakes.calls.count("onnxruntime") == 3


def test_whoever_has_an_obstacle_is_not_started(tiny_folder: Path, fakes: type[FakeWorker]) -> None:
    measured = measure(ModelFolder.open(tiny_folder), Settings(rounds=1), {BASELINE: "no torch", ORT: None})
    assert measured.failed == {BASELINE: "no torch"} and measured.baseline_difference is None
    assert "released" not in {request["backend"] for request in fakes.requests}


@pytest.mark.parametrize("difference", [2e-6, float("inf"), float("nan")])
def test_a_baseline_that_is_not_the_model_is_refused(
    difference: float, tiny_folder: Path, fakes: type[FakeWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "ask_once", lambda request: {"difference": difference})
    measured = run(tiny_folder, BASELINE, ORT)
    assert "differs from the model" in measured.failed[BASELINE] and ORT in measured.turns_ms


def test_each_graph_reads_its_own_form_of_the_same_clips(
    tiny_folder: Path, fakes: type[FakeWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    from mdhr_sdk.vision import prepare

    seen: dict[str, np.ndarray] = {}

    def look(worker: FakeWorker, request: dict[str, Any]) -> None:
        FakeWorker.__init__(worker, request)
        if request["job"] == "session":
            seen[request["graph"]] = np.load(request["inputs"])["clip"]

    crops = np.random.default_rng(0).integers(0, 256, (16, 224, 224, 3), dtype=np.uint8)
    monkeypatch.setattr(measuring, "demo_crops", lambda size: crops)
    monkeypatch.setattr(measuring, "Worker", type("Looking", (FakeWorker,), {"__init__": look}))
    folder = ModelFolder.open(tiny_folder)
    measure(
        folder, Settings(rounds=1, batch=2), {BASELINE: None, ORT: None, Candidate("onnxruntime", bytes_in=True): None}
    )
    assert set(seen) == {"clip", "clip_u8"} and seen["clip_u8"].dtype == np.uint8
    assert np.array_equal(seen["clip_u8"][1, 0], crops[1]), "a clip of a batch starts a frame later"
    mean, std = folder.config.preprocessing.mean, folder.config.preprocessing.std
    np.testing.assert_array_equal(seen["clip"][1], prepare(seen["clip_u8"][1], mean, std))


def test_memory_of_the_device_is_what_a_worker_took(
    tiny_folder: Path, fakes: type[FakeWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    free = iter([9000.0, 8500.0, 8500.0, 7000.0, 7000.0, 6990.0])
    monkeypatch.setattr(measuring, "device_free_mib", lambda device: next(free) if device == "cuda:1" else None)
    planned = {BASELINE: None, ORT: None}
    measured = measure(ModelFolder.open(tiny_folder), Settings(rounds=1, device="cuda:1"), planned)
    assert [measured.device_mib[c] for c in planned] == [500, 1500]
    measured = measure(ModelFolder.open(tiny_folder), Settings(rounds=1), planned)
    assert [measured.device_mib[c] for c in planned] == [None, None]


def test_ctrl_c_ends_every_worker(
    tiny_folder: Path, fakes: type[FakeWorker], monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(FakeWorker, "turn", interrupt)
    code, _, err = command(app, tiny_folder, "--backend", "torch")
    assert code != 0 and "Traceback" not in err
    assert {name for name in fakes.calls if name.startswith("closed")} >= {"closed released", "closed torch"}


def test_each_head_reads_features_of_its_own_encoder(
    tiny_onnx_folder: Path, fakes: type[FakeWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(measuring, "ask_once", lambda request: asked.append(request) or {"difference": 0.0})
    run(tiny_onnx_folder, BASELINE, ORT, graph="head")
    features = {r["backend"]: r["out"] for r in asked if r["job"] == "features"}
    assert {r["backend"]: r["inputs"] for r in fakes.requests if r["job"] == "session"} == features
    assert set(features) == {"released", "onnxruntime"} and len(set(features.values())) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--graph", "clips"], "unknown graph 'clips'; expected one of clip, encoder, head, clip_u8, encoder_u8"),
        (["--device", "gpu"], "unknown device 'gpu'; expected cpu, cuda or cuda:N"),
        (["--device", "auto"], "unknown device 'auto'"),
        (["--rounds", "0"], "--rounds must be at least 1; got 0"),
        (["--batch", "-1"], "--batch must be at least 1; got -1"),
        (["--threads", "0"], "--threads must be at least 1; got 0"),
        (["--seconds", "-1"], "--seconds must be between 0 and 3600; got -1.0"),
        (["--seconds", "nan"], "--seconds must be between 0 and 3600; got nan"),
        (["--most-seconds", "0"], "--most-seconds must be more than 0; got 0.0"),
        (["--backend", "tensorflow"], "unknown backend 'tensorflow'"),
        (["--precision", "fp64"], "unknown precision 'fp64'"),
        (["--backend", "onnxruntime"], "onnxruntime fp32 cannot be measured here"),
        (["--json", "no-such-folder/l.json"], "--json needs a file in a folder that exists"),
    ],
)
def test_bad_input_is_one_line_and_code_2(
    arguments: list[str], message: str, tiny_folder: Path, command: Command
) -> None:
    code, _, err = command(app, tiny_folder, *arguments)
    assert code == 2 and err.startswith("error: ") and message in err and err.count("\n") == 1


def test_a_folder_that_is_none(command: Command, tmp_path: Path) -> None:
    code, _, err = command(app, tmp_path / "none")
    assert code == 2 and err.startswith("error: model folder ") and err.count("\n") == 1


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pause between turns: figures are of no interest here."""
    monkeypatch.setattr(measuring, "SETTLE_S", 0)


def test_without_a_model_the_bundled_one_is_measured_and_progress_is_told(
    fakes: type[FakeWorker], command: Command
) -> None:
    code, out, err = command(app, "--rounds", 2)
    assert code == 0 and {Path(request["folder"]).name for request in fakes.requests} == {"edge"}
    assert "loading released fp32, 1 of up to " in err and "round 2 of 2, about " in err
    assert "fp16 on a CPU" not in out and "rounds, which took" not in out


def test_rounds_end_when_the_time_is_up(fakes: type[FakeWorker], command: Command) -> None:
    code, out, _ = command(app, "--most-seconds", "1e-9")
    assert code == 0 and fakes.calls.count("onnxruntime") == LEAST_ROUNDS
    assert "3 of 10 rounds, which took 1e-09 s (--most-seconds)" in out


def test_fp16_on_a_cpu_is_told_to_be_slower_before_it_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    folder = ModelFolder.create(tmp_path / "model", FolderConfig(ModelConfig(label_set("disfa"))))
    for name in ("model.safetensors", "clip.onnx", "clip.fp16.onnx"):  # names only: nothing is loaded
        with folder.writing(name, {}) as path:
            path.write_bytes(name.encode())

    def measure(*_: object) -> None:
        raise BackendError("measured")

    monkeypatch.setattr(latency, "measure", measure)
    _, out, err = command(app, folder.path)
    assert "fp16 on a CPU is slower than fp32" in " ".join(out.split()) and "error: measured" in err


def whole_run(command: Command, folder: Path, json_file: Path, *options: object) -> tuple[str, dict[str, Any]]:
    """What a run printed and wrote; every row that has figures is checked against the file's other figures."""
    common = ["--rounds", 2, "--seconds", 0, "--batch", 2, "--threads", 1, "--json", json_file]
    code, out, _ = command(app, folder, *common, *options)
    assert code == 0
    content = json.loads(json_file.read_text())
    frames = 2 * (content["model"]["clip_length"] if content["settings"]["graph"].startswith("clip") else 1)
    assert content["baseline_difference"] <= 1e-6
    for row in content["rows"]:
        if row["reason"] is None:
            assert row["runs"] == 2 and row["backend"].replace("released", "baseline") in out
            assert row["frames_per_s"] == pytest.approx(1e3 * frames / row["latency_ms_p50"])
            assert row["gmacs_per_s"] == pytest.approx(content["macs_a_run"] / row["latency_ms_p50"] / 1e6)
            assert row["rss_peak_mib"] >= row["rss_loaded_mib"] > 20
    return out, content


@pytest.mark.slow
def test_a_whole_run(at_once: None, tiny_onnx_folder: Path, tmp_path: Path, command: Command) -> None:
    out, content = whole_run(command, tiny_onnx_folder, tmp_path / "latency.json")
    assert content["machine"]["cpu"] in out and content["model"]["backbone"] == "test_resnet"
    assert set(content["matmul_gmacs_per_s"]) == {"numpy", "torch"}
    rows = {(row["backend"], row["precision"]): row for row in content["rows"]}
    for backend in ("released", "torch", "torchscript", "onnxruntime", "openvino"):
        assert rows[backend, "fp32"]["max_score_difference"] <= 1e-5
    assert rows["released", "fp32"]["times_as_fast"] == 1


@pytest.mark.slow
def test_a_whole_run_from_bytes(at_once: None, tiny_folder: Path, tmp_path: Path, command: Command) -> None:
    out, content = whole_run(command, tiny_folder, tmp_path / "l.json", "--graph", "clip_u8", "--backend", "torch")
    assert [(row["backend"], row["graph"]) for row in content["rows"]] == [("released", "clip"), ("torch", "clip_u8")]
    assert 0 <= content["rows"][1]["max_score_difference"] <= 1e-5 and "torch uint8" in out


@pytest.mark.slow
@pytest.mark.parametrize("graph", ["encoder", "head"])
def test_a_whole_run_of_a_part(
    graph: str, at_once: None, tiny_onnx_folder: Path, tmp_path: Path, command: Command
) -> None:
    options = ("--graph", graph, "--backend", "onnxruntime", "--precision", "fp32")
    _, content = whole_run(command, tiny_onnx_folder, tmp_path / "latency.json", *options)
    assert [row["backend"] for row in content["rows"]] == ["released", "onnxruntime"]
    for row in content["rows"]:
        if graph == "encoder":
            assert row["reason"] is None and row["max_score_difference"] is None
        else:  # so near only with features of its own encoder
            assert row["max_score_difference"] <= 1e-5
