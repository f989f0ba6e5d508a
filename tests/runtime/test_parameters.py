"""Weights of the motion path that do not fit the configuration are an error in one line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from attacks_on_paths import vouch
from mdhr_sdk.errors import ModelFolderError
from mdhr_sdk.modelfolder.bundled import ROOT
from mdhr_sdk.modelfolder.folder import ModelFolder
from mdhr_sdk.runtime.stream.parameters import read_parameters

NAME = "head.dynamics.norms.0.weight"
Tensors = dict[str, Any]


def changed(tmp_path: Path, change: Callable[[Tensors], None]) -> ModelFolder:
    folder = Path(shutil.copytree(ROOT / "edge", tmp_path / "model"))
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")
    vouch(folder, "model.safetensors")
    return ModelFolder.open(folder)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (np.ones((3, 5), np.float32), r"must hold floats of the shape \(96,\); it holds float32 of \(3, 5\)"),
        (np.ones(96, np.int32), r"must hold floats of the shape \(96,\); it holds int32 of \(96,\)"),
        (np.ones(96, bool), r"it holds bool"),
        (np.ones((), np.float32), r"it holds float32 of \(\)"),
        (None, f"no tensor '{NAME}'"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, value: Any, reason: str) -> None:
    def change(tensors: Tensors) -> None:
        del tensors[NAME]
        tensors |= {} if value is None else {NAME: value}

    with pytest.raises(ModelFolderError, match=f"does not fit its config.json: .*{reason}"):
        read_parameters(changed(tmp_path, change), scaled=True)


@pytest.mark.parametrize("kind", [np.float16, np.float64])
def test_floats_of_any_width_are_read(tmp_path: Path, kind: Any) -> None:
    def change(tensors: Tensors) -> None:
        tensors[NAME] = tensors[NAME].astype(kind)

    found = read_parameters(changed(tmp_path, change), scaled=False)
    wanted = read_parameters(ModelFolder.open("edge"), scaled=False)
    assert found.scale.dtype == np.float32 and np.allclose(found.scale, wanted.scale, rtol=1e-2)


@pytest.mark.parametrize(("kind", "bytes_each"), [("BF16", 2), ("F8_E4M3", 1)])
def test_a_kind_that_numpy_lacks_is_an_error(tmp_path: Path, kind: str, bytes_each: int) -> None:
    folder = Path(shutil.copytree(ROOT / "edge", tmp_path / "model"))
    header = json.dumps({NAME: {"dtype": kind, "shape": [96], "data_offsets": [0, 96 * bytes_each]}}).encode()
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(96 * bytes_each))
    vouch(folder, "model.safetensors")
    with pytest.raises(ModelFolderError, match=r"model\.safetensors' (is not a safetensors file|does not fit)"):
        read_parameters(ModelFolder.open(folder), scaled=True)


def test_a_text_is_no_size(tmp_path: Path) -> None:
    """Times another size it is a longer text, of gigabytes."""
    folder = changed(tmp_path, lambda tensors: None)
    content = (folder.path / "model.safetensors").read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    told = json.loads(content[8:end])
    told[NAME]["shape"] = [10**9, "x"]
    header = json.dumps(told).encode()
    (folder.path / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + content[end:])
    vouch(folder.path, "model.safetensors")
    with pytest.raises(ModelFolderError, match=f"{NAME} has a size or a place that is no whole number"):
        read_parameters(folder, scaled=True)
