"""The counting benchmark: two counters that agree, rows that add up, and an exit code when they do not."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.speed import counting, flops
from benchmarks.speed.counting import Cost, Count, count
from benchmarks.speed.flops import app
from commands import Command
from mdhr_sdk.aus import label_set
from mdhr_sdk.model import load_model
from mdhr_sdk.modelfolder.config import FolderConfig, ModelConfig, Preprocessing
from mdhr_sdk.modelfolder.folder import ModelFolder


def config(backbone: str = "resnet18", frames: int = 2, size_px: int = 64, **fields: Any) -> FolderConfig:
    model = ModelConfig(label_set("disfa"), backbone, input_size_px=size_px, au_width=64, **fields)
    return FolderConfig(model, clip_length=frames, preprocessing=Preprocessing(size_px=size_px))


@pytest.mark.parametrize(
    "fields",
    [{}, {"scales": (2, 4)}, {"mfd": False}, {"fusion": "adaptive_paper", "graph": False, "temporal": False}],
    ids=str,
)
def test_the_counters_agree_on_every_part(fields: dict[str, Any]) -> None:
    found = count(config(**fields))
    assert found.difference == 0
    for row in found.modules:
        assert row.clip_macs_a_frame == row.fvcore_clip_macs_a_frame, row.module
    assert sum(row.parameters for row in found.modules) == found.total.parameters
    names = [row.module for row in found.modules if "projection of" in row.module]
    scales = fields.get("scales", (1, 2, 3, 4)) if fields.get("mfd", True) else ()
    assert names == [f"projection of scale {s}" for s in scales]


@pytest.mark.slow
def test_attention_is_counted_by_both() -> None:
    found = count(config("swin_tiny_patch4_window7_224", frames=1, size_px=224))
    assert found.difference == 0
    tokens = 49
    windows_width_blocks = ((64, 96, 2), (16, 192, 2), (4, 384, 6), (1, 768, 2))
    products = sum(2 * n * tokens * tokens * width * blocks for n, width, blocks in windows_width_blocks)
    assert found.attention_macs_a_frame == products


def test_timm_is_left_as_it_was() -> None:
    from timm.layers import use_fused_attn

    before = use_fused_attn()
    with pytest.raises(ZeroDivisionError), counting.plain_attention():
        assert not use_fused_attn()
        raise ZeroDivisionError
    assert use_fused_attn() == before


def test_a_folder_is_counted_and_written(tiny_folder: Path, tmp_path: Path, command: Command) -> None:
    code, out, err = command(app, tiny_folder, "--json", tmp_path / "flops.json")
    assert (code, err) == (0, "")
    assert "bp4d test_resnet, T = 4" in out and "cross-regional graph" in out
    (found,) = json.loads((tmp_path / "flops.json").read_text())["models"]
    model = load_model(ModelFolder.open(tiny_folder))
    assert found["total"]["parameters"] == sum(p.numel() for p in model.parameters())
    assert found["total"]["clip_macs_a_frame"] == pytest.approx(
        sum(row["clip_macs_a_frame"] for row in found["modules"])
    )


def counted(label_set: str, backbone: str, parameters: int, difference: float) -> Count:
    return Count(label_set, backbone, 16, [], Cost("total", parameters, 7.0e9, 7.0e9, 7.1e9, 9.0e9), difference, 0.0)


def test_what_is_published_stands_beside_its_model(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flops, "count", lambda c: counted(c.model.label_set.name, c.model.backbone, 1234567, 0))
    code, out, _ = command(app)
    said = " ".join(out.split())
    ours = "1,234,567 parameters, 7.000 GMACs a frame, 7.000 without the products of attention; the paper: "
    assert code == 0 and said.count(ours + "91.09 M, 7.18;") == said.count(ours + "105.94 M, 15.99;") == 2


@pytest.mark.parametrize(("difference", "code"), [(0.9e-4, 0), (1.1e-4, 1), (float("nan"), 1)])
def test_counters_that_disagree_end_with_code_1(
    difference: float, code: int, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flops, "count", lambda c: counted("bp4d", c.model.backbone, 1, difference))
    found, _, err = command(app, "--label-set", "bp4d", "--backbone", "resnet18")
    assert found == code
    assert not code or err.startswith("error: the counters differ by more than 0.0001: bp4d resnet18")


def test_a_second_counter_that_counts_more_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = counting.fvcore_macs

    def more(*graph: Any) -> dict[str, dict[str, int]]:
        return {name: {**ops, "conv": ops.get("conv", 0) * 1001 // 1000} for name, ops in honest(*graph).items()}

    monkeypatch.setattr(counting, "fvcore_macs", more)
    assert 0.9e-3 < count(config()).difference <= 1e-3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no-such-folder"], "model folder 'no-such-folder' does not exist"),
        (["--label-set", "bp5d"], "bp5d"),
        (["--backbone", "resnet51"], "unknown backbone 'resnet51'"),
        (["--clip-length", "0"], "clip_length must be greater than or equal to 1; got 0"),
        (["--json", "no-such-folder/f.json"], "--json needs a file in a folder that exists"),
    ],
)
def test_bad_input_is_one_line_and_code_2(arguments: list[str], message: str, command: Command) -> None:
    code, _, err = command(app, *arguments)
    assert code == 2 and err.startswith("error: ") and message in err and err.count("\n") == 1


def test_a_folder_takes_no_names(tiny_folder: Path, command: Command) -> None:
    code, _, err = command(app, tiny_folder, "--backbone", "resnet50")
    assert code == 2 and "a model folder says its own" in err


def test_without_the_second_counter_nothing_is_claimed(
    tiny_folder: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "fvcore", None)
    code, out, err = command(app, tiny_folder)
    assert code == 2 and "'fvcore', which is not installed" in err and "[bench]" in err and "GMACs" not in out
