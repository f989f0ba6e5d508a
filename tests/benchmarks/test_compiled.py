"""TorchScript and AOTInductor beside the weights."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from compiled import app, report, runs
from mdhr_sdk.deploy import LIMITS
from mdhr_sdk.deploy.parity.judge import probe_clip
from mdhr_sdk.errors import BackendError
from mdhr_sdk.modelfolder.folder import ModelFolder


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="AOTInductor needs a compiler")
def test_both_answer_like_the_weights(tiny_folder: Path) -> None:
    folder = ModelFolder.open(tiny_folder)
    clip = torch.from_numpy(probe_clip(folder.config, batch=2))
    with torch.inference_mode():
        made, missing = runs(folder, "fp32", clip)
        found = {name: run() for name, run in made.items()}
    assert not missing
    wanted = found.pop("eager fp32, as the weights")
    assert list(found) == ["TorchScript fp32", "AOTInductor fp32"]
    for scores in found.values():
        torch.testing.assert_close(scores, wanted, atol=LIMITS["fp32"].max_score, rtol=0)


@pytest.mark.slow
def test_without_a_compiler_the_rest_is_measured_and_the_reason_told(
    command, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch._inductor.config.cpp, "cxx", (None, "no-such-compiler"))
    code, out, err = command(app, tiny_folder, "--rounds", "1")
    told = " ".join(out.split())
    assert code == 0 and not err and "No working C++ compiler" in told
    assert "TorchScript fp32" in told and "AOTInductor fp32" in told


def test_what_differs_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    scores = {"eager": torch.zeros(1, 2, 3), "good": torch.zeros(1, 2, 3), "bad": torch.full((1, 2, 3), 0.1)}
    times = {"eager": [4.0, 4.0], "good": [2.0, 2.0], "bad": [1.0, 1.0]}
    with pytest.raises(BackendError, match=r"^bad differ from the weights by more than fp16 may cost"):
        report(scores, times, "fp16")
    said = capsys.readouterr().out
    assert "2.00" in said and "4.00" in said and "1.0e-01" in said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--device", "cuda"], "torch finds 0 CUDA devices"),
        (["--precision", "int8"], "unknown precision 'int8'; expected one of fp32, fp16"),
        (["--batch", "0"], "--batch must be at least 1"),
    ],
)
def test_bad_options_are_one_line(command, tiny_folder: Path, options: list[str], message: str) -> None:  # type: ignore[no-untyped-def]
    if torch.cuda.is_available() and "cuda" in options:
        pytest.skip("CUDA is here")
    code, _, err = command(app, tiny_folder, *options)
    assert code == 2 and err.startswith("error: ") and message in err and err.count("\n") == 1
