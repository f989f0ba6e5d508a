"""What the tests of TensorRT sessions share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from mdhr_sdk.modelfolder.folder import ModelFolder, sha256
from mdhr_sdk.modelfolder.signing import signed
from mdhr_sdk.runtime import Session, SessionOptions, open_session

ORIN = ("Orin", "8.7")
RTX = ("NVIDIA GeForce RTX 3080", "8.6")


def batch_of(session: Session, size: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Random inputs of a session."""
    rng = np.random.default_rng(seed)
    shapes = {spec.name: (size, *(n or 0 for n in spec.shape[1:])) for spec in session.inputs}
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def open_head(folder: Path, backend: str = "tensorrt", device: str = "cuda", precision: str = "fp32") -> Session:
    return open_session(ModelFolder.open(folder), backend, SessionOptions(device, precision=precision), "head")[0]


def wanted(folder: Path, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What ONNX Runtime says."""
    session, _ = open_session(ModelFolder.open(folder), "onnxruntime", SessionOptions("cpu", threads=1), "head")
    return session.run(inputs)


def backend_of(name: str) -> str:
    return name.replace("_", "-")


def vouch(folder: Path, name: str, **entry: Any) -> None:
    """Let the manifest say that the file is what was built, here."""
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][name] = signed(name, {**manifest["files"][name], **entry, "sha256": sha256(folder / name)})
    (folder / "manifest.json").write_text(json.dumps(manifest))
