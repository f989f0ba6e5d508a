"""Device memory: the same through every package, every CUDA error named, nothing left behind."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator

import numpy as np
import pytest

from fake_cuda import CudaError, FakeCuda
from mdhr_sdk.errors import BackendError
from mdhr_sdk.runtime.cuda.devices import CudaDevice, cuda_device, cuda_device_count
from mdhr_sdk.runtime.cuda.memory import DeviceMemory, memory_obstacle, open_memory

PACKAGES = ("cuda.bindings.runtime", "cuda.cudart", "pycuda.driver")
Opened = tuple[FakeCuda, DeviceMemory]


@pytest.fixture(params=PACKAGES)
def opened(request: pytest.FixtureRequest, gpu_machine) -> Iterator[Opened]:
    """A machine and its memory through each package; nothing may be left of it."""
    fake, memory = gpu_machine(package=request.param).cuda, open_memory(0)
    yield fake, memory
    memory.close()
    assert fake.left == 0


BINDINGS = pytest.mark.parametrize("opened", PACKAGES[:1], indirect=True)
PYCUDA = pytest.mark.parametrize("opened", PACKAGES[2:], indirect=True)


def test_devices_are_told_by_the_driver(gpu_machine) -> None:
    gpu_machine("10.3.0", ("Orin", "8.7"), ("NVIDIA GeForce RTX 5090", "12.0"))
    assert cuda_device_count() == 2
    assert cuda_device(1) == CudaDevice("NVIDIA GeForce RTX 5090", "12.0", True, 8, 8)
    assert cuda_device(2) is None


def test_what_goes_up_comes_down(opened: Opened) -> None:
    fake, memory = opened
    with memory.active():
        there, back = memory.host((3, 5), np.float32), memory.host((3, 5), np.float32)
        there[:] = np.arange(15).reshape(3, 5)
        address = memory.device(there.nbytes)
        memory.upload(address, there)
        memory.download(back, address)
        assert np.isnan(back).all(), "nothing runs before it is waited for"
        memory.synchronize()
    assert np.array_equal(back, np.arange(15).reshape(3, 5))
    assert memory.stream in fake.streams
    memory.close()
    with pytest.raises(BackendError, match="closed"), memory.active():
        pass


@pytest.mark.parametrize("package", PACKAGES)
def test_what_is_forgotten_is_freed(gpu_machine, package: str) -> None:
    fake = gpu_machine(package=package).cuda
    memory = open_memory(0)
    with memory.active():
        memory.device(100)
    if package == "pycuda.driver":
        memory.close()  # pycuda's own objects free themselves; the fake's do not
    del memory
    gc.collect()
    assert fake.left == 0


@pytest.mark.parametrize("package", PACKAGES)
def test_a_device_that_is_not_there(gpu_machine, package: str) -> None:
    gpu_machine(package=package)
    with pytest.raises(BackendError, match=r"CUDA: .*(cudaErrorInvalidDevice|invalid device ordinal)"):
        open_memory(1)


@pytest.mark.parametrize(
    ("function", "call"),
    [
        ("cudaMalloc", lambda memory: memory.device(100)),
        ("cudaHostAlloc", lambda memory: memory.host((4,), np.float32)),
        ("cudaStreamSynchronize", lambda memory: memory.synchronize()),
        ("cudaStreamBeginCapture", lambda memory: memory.capture(lambda: None)),
        ("cudaGraphInstantiate", lambda memory: memory.capture(lambda: None)),
    ],
)
@BINDINGS
def test_a_cuda_error_is_named(opened: Opened, function: str, call) -> None:
    fake, memory = opened
    fake.fail[function] = CudaError.cudaErrorMemoryAllocation
    with memory.active(), pytest.raises(BackendError, match=f"{function} failed: cudaErrorMemoryAllocation"):
        call(memory)


@PYCUDA
def test_pycudas_errors_are_ours(opened: Opened) -> None:
    fake, memory = opened
    fake.fail["cudaMalloc"] = CudaError.cudaErrorMemoryAllocation
    with pytest.raises(BackendError, match="CUDA: cudaMalloc failed: cudaErrorMemoryAllocation"), memory.active():
        memory.device(100)
    assert sys.modules["pycuda.driver"].pushed == 0, "the context is left as it was found"


def test_a_graph_repeats_what_was_recorded(opened: Opened) -> None:
    _, memory = opened
    with memory.active():
        there, back = memory.host((4,), np.float32), memory.host((4,), np.float32)
        address = memory.device(16)

        def record() -> None:
            memory.upload(address, there)
            memory.download(back, address)

        launch = memory.capture(record)
        memory.synchronize()
        assert np.isnan(back).all(), "recording is not running"
        for value in (1, 2):
            there[:] = value
            launch()
            memory.synchronize()
            assert (back == value).all()


@pytest.mark.parametrize("error", [BackendError, KeyboardInterrupt])
def test_a_recording_that_fails_leaves_the_stream_usable(opened: Opened, error: type[BaseException]) -> None:
    fake, memory = opened
    with memory.active():

        def broken() -> None:
            raise error("no")

        with pytest.raises(error, match="no"):
            memory.capture(broken)
        with pytest.raises(BackendError, match="cudaErrorStreamCaptureUnsupported"):
            memory.capture(memory.synchronize)
        memory.synchronize()
        memory.capture(lambda: None)()
    assert not fake.recording and not fake.broken


@PYCUDA
def test_an_old_pycuda_has_no_graphs_and_says_so(opened: Opened) -> None:
    _, memory = opened
    sys.modules["pycuda.driver"].graphs = False
    with pytest.raises(BackendError, match="knows no CUDA graphs"), memory.active():
        memory.capture(lambda: None)


def test_without_a_package_the_extra_is_named(gpu_machine) -> None:
    gpu_machine(package="none")
    assert r"pip install -e '.[tensorrt]'" in str(memory_obstacle())
    with pytest.raises(BackendError, match="cuda-bindings"):
        open_memory(0)


def test_the_real_cuda_bindings_say_what_is_wrong_without_a_driver() -> None:
    pytest.importorskip("cuda.bindings.runtime")
    if cuda_device_count():
        pytest.skip("CUDA is here")
    with pytest.raises(BackendError, match=r"CUDA: cudaSetDevice failed: cudaError\w+"):
        open_memory(0)
