"""Model folders small enough to run anywhere, and the bundled clip. Tests that change a folder copy it first."""

from __future__ import annotations

import ctypes
import importlib.machinery
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from filelock import FileLock

import mdhr_sdk
from fake_cuda import FakeCuda, FakeDriver, FakeRuntime
from fake_pycuda import FakePyCuda
from fake_tensorrt import FakeTensorRT
from mdhr_sdk.runtime.cuda import devices as cuda

# Read by PyTorch and the BLAS libraries when they load: tests share the machine. Subprocesses inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1" if "PYTEST_XDIST_WORKER" in os.environ else "2")

# No example fails since it took long: machines are slow, or busy.
hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")

TINY_CLIP_LENGTH, TINY_SIZE_PX = 4, 96


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.timeout(900))


def smooth_clips(seed: int, batch: int, frames: int = TINY_CLIP_LENGTH, size: int = TINY_SIZE_PX) -> np.ndarray:
    """(B, T, 3, S, S) float32: blocky random images that move, the first subtly and the last a lot."""
    rng = np.random.default_rng(seed)
    coarse = rng.standard_normal((2, batch, 1, 3, size // 8, size // 8), dtype=np.float32)
    still, move = np.kron(coarse, np.ones((8, 8), np.float32))
    phase = np.sin(np.arange(frames, dtype=np.float32)).reshape(1, frames, 1, 1, 1)
    strength = np.geomspace(0.05, 0.5, batch, dtype=np.float32).reshape(batch, 1, 1, 1, 1)
    return still + strength * phase * move


@pytest.fixture
def no_cuts() -> Iterator[None]:
    """For footage of flat squares, every change of which would be a cut."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mdhr_sdk.vision.cuts.THRESHOLD", 256.0)
        yield


@pytest.fixture(scope="session", autouse=True)
def config_folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The key that signs exported code, one for all of pytest's processes, and not the user's."""
    root = tmp_path_factory.getbasetemp()
    os.environ["MDHR_CONFIG_DIR"] = str((root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / "config")


@pytest.fixture(scope="session")
def demo_path() -> Path:
    """320 x 320, 25 fps, 310 frames, one face throughout."""
    return Path(mdhr_sdk.__path__[0]) / "assets" / "demo.mp4"


@pytest.fixture(scope="session")
def demo_frames(demo_path: Path) -> np.ndarray:
    """(60, 320, 320, 3) uint8 BGR: the first frames of the bundled clip."""
    import cv2

    capture = cv2.VideoCapture(str(demo_path))
    frames = np.stack([capture.read()[1] for _ in range(60)])
    capture.release()
    return frames


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that the first of pytest's processes to need it makes, and all of them use."""
    root = factory.getbasetemp()
    folder = (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / name
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            building = folder.with_name(f"{name}.part")
            make(building)
            building.rename(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BP4D model of 0.5 million parameters for clips of four small frames, random weights, scores that vary."""
    return made_once(tmp_path_factory, "tiny", _make_tiny)


def _make_tiny(folder: Path) -> None:
    import torch

    from mdhr_sdk.model import build_mdhr, calibrate, save_model

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)  # random weights that bear fp16 and int8 well; not all do
        size = {"input_size_px": TINY_SIZE_PX, "projection_width": 32, "au_width": 16, "weight_width": 4}
        model = build_mdhr("bp4d", "test_resnet", **size)
    calibrate(model, smooth_clips(0, batch=3))
    save_model(model, folder, clip_length=TINY_CLIP_LENGTH)


@pytest.fixture(scope="session")
def tiny_onnx_folder(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`tiny_folder` with its graphs in ONNX and the clip graph in TorchScript; it takes half a minute."""

    def make(folder: Path) -> None:
        from mdhr_sdk.deploy import export_graphs

        shutil.copytree(tiny_folder, folder)
        export_graphs(folder)
        export_graphs(folder, "torchscript", ["clip"])

    return made_once(tmp_path_factory, "tiny-onnx", make)


@pytest.fixture(scope="session")
def tiny_rounded_folder(tiny_onnx_folder: Path, demo_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`tiny_onnx_folder` with its graphs in fp16, and the encoder in int8."""

    def make(folder: Path) -> None:
        from mdhr_sdk.deploy import export_graphs

        shutil.copytree(tiny_onnx_folder, folder)
        export_graphs(folder, graphs=["clip", "encoder", "head", "encoder_u8"], precision="fp16")
        export_graphs(folder, graphs=["encoder"], precision="int8", calibrate=demo_path)

    return made_once(tmp_path_factory, "tiny-rounded", make)


@pytest.fixture(scope="session")
def small_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small model to stream with of `streams`."""
    from streams import folder_of

    return made_once(tmp_path_factory, "small", folder_of)


@pytest.fixture(scope="session")
def small_onnx_folder(small_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`small_folder` with the graphs of its streams in ONNX."""

    def make(folder: Path) -> None:
        from mdhr_sdk.deploy import export_graphs

        shutil.copytree(small_folder, folder)
        export_graphs(folder, graphs=["encoder", "relations", "temporal"])

    return made_once(tmp_path_factory, "small-onnx", make)


@pytest.fixture
def head_folder(tiny_onnx_folder: Path, tmp_path: Path) -> Path:
    """A folder to change, with weights and the head graph only. The weights are shared: replace them, never edit."""
    folder = tmp_path / "head"
    folder.mkdir()
    for name in ("config.json", "manifest.json", "head.onnx"):
        shutil.copy(tiny_onnx_folder / name, folder / name)
    os.link(tiny_onnx_folder / "model.safetensors", folder / "model.safetensors")
    return folder


@pytest.fixture
def gpu_machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., FakeTensorRT]]:
    """Makes this machine one with a GPU and a kind of TensorRT, all of it fake; the package of CUDA is to choose."""

    def make(
        version: str = "10.3.0",
        *devices: tuple[str, str],
        name: str = "tensorrt",
        package: str = "cuda.bindings.runtime",
    ) -> FakeTensorRT:
        fake = FakeCuda(*(devices or (("Orin", "8.7"),)))
        driver, real = FakeDriver(fake), ctypes.CDLL
        monkeypatch.setattr(
            cuda.ctypes, "CDLL", lambda file, *a, **k: driver if "cuda" in str(file) else real(file, *a, **k)
        )
        packages = {"cuda.bindings.runtime": FakeRuntime, "cuda.cudart": FakeRuntime, "pycuda.driver": FakePyCuda}
        for one, kind in packages.items():
            monkeypatch.setitem(sys.modules, one, kind(fake) if one == package else None)
        trt = FakeTensorRT(name, version, fake)
        for one in ("tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings"):
            monkeypatch.setitem(sys.modules, one, None)
        trt.__spec__ = importlib.machinery.ModuleSpec(name, None)
        monkeypatch.setitem(sys.modules, name, trt)
        _forget_devices()
        return trt

    yield make
    _forget_devices()


def _forget_devices() -> None:
    cuda.cuda_device_count.cache_clear()
    cuda.cuda_device.cache_clear()
