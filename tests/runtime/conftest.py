"""A small model to stream with; a machine with TensorRT and an engine, all of it fake but the answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from engine_helpers import ORIN, RTX
from fake_tensorrt import FakeTensorRT
from mdhr_sdk.deploy import EngineOptions, build_engine
from mdhr_sdk.model import MDHR, load_model
from mdhr_sdk.modelfolder.folder import ModelFolder


@pytest.fixture(scope="session")
def folder(small_folder: Path) -> ModelFolder:
    return ModelFolder.open(small_folder)


@pytest.fixture(scope="session")
def model(folder: ModelFolder) -> MDHR:
    return load_model(folder)


@pytest.fixture
def built(head_folder: Path, gpu_machine: Callable[..., FakeTensorRT]) -> Callable[..., tuple[FakeTensorRT, Path]]:
    """Makes a machine and a folder whose head engine was built on it, without the parity run unless it is asked for."""

    def make(
        name: str = "tensorrt", version: str = "10.3.0", package: str = "cuda.bindings.runtime", *,
        batches: tuple[int, int, int] = (1, 1, 8), proven: bool = False,
    ) -> tuple[FakeTensorRT, Path]:  # fmt: skip
        trt = gpu_machine(version, RTX if "rtx" in name else ORIN, name=name, package=package)
        weights = head_folder / "model.safetensors"
        if not proven and weights.exists():
            weights.unlink()
        toolchain = "rtx" if "rtx" in name else "tensorrt"
        build_engine(head_folder, EngineOptions("head", "fp32", *batches, toolchain=toolchain))
        return trt, head_folder

    return make
