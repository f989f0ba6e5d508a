"""ONNX Runtime: exported graphs. Part of the core; never touches PyTorch."""

from __future__ import annotations

import contextlib
import importlib.util
import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...ending import at_work
from ...errors import BackendError, ModelFolderError, require
from ...modelfolder.artefacts import artefact
from ...modelfolder.folder import ModelFolder
from ...ops import DeviceArray
from ...ops.views import CPU
from ..cuda.devices import device_number, no_device
from ..cuda.toolchains import ARM
from ..session import Arrays, Part, Session, SessionOptions, TensorSpec, check_kept, check_specs, graph_specs
from .backend import Backend

SUFFIX = "onnx"
CUDA_EP, TENSORRT_EP = "CUDAExecutionProvider", "TensorrtExecutionProvider"  # ONNX Runtime's execution providers
REMEDIES = {
    CUDA_EP: "pip uninstall onnxruntime, then pip install onnxruntime-gpu",
    TENSORRT_EP: "pip uninstall onnxruntime, then pip install onnxruntime-gpu and the tensorrt that it is made for",
}
if ARM:  # of which the registry has no onnxruntime-gpu
    REMEDIES = dict.fromkeys(REMEDIES, "build an engine: python export/build_engine.py MODEL; pip has none for aarch64")
TF32 = "NVIDIA_TF32_OVERRIDE"


class OnnxFileBackend(Backend):
    """A backend that runs the folder's ONNX files."""

    def no_file(self, folder: ModelFolder, graph: str, options: SessionOptions) -> str | None:
        return super().no_file(folder, graph, options) or overflowing(
            folder, artefact(graph, options.precision, SUFFIX), options
        )


@dataclass(frozen=True)
class OnnxRuntimeBackend(OnnxFileBackend):
    """One of the two backends of ONNX Runtime.

    On CUDA its provider is the one that was asked for or none: what ONNX Runtime would replace is an error here.
    """

    provider: str

    def unfit(self, options: SessionOptions) -> str | None:
        if importlib.util.find_spec("onnxruntime") is None:
            return "the package 'onnxruntime' is not installed (pip install onnxruntime)"
        if not options.device.startswith("cuda"):
            return None
        if self.provider not in require("onnxruntime", "").get_available_providers():
            remedy = REMEDIES[self.provider]
            return f"device '{options.device}' needs {self.provider}, which this onnxruntime lacks ({remedy})"
        # The provider has no option for it, and the variable is read once.
        if self.provider == TENSORRT_EP and options.precision == "fp32" and os.environ.get(TF32) != "0":
            return f"{TENSORRT_EP} rounds fp32 to TF32 unless {TF32}=0 is set before the start (set it, or take fp16)"
        return no_device(options.device)

    def open_graph(self, folder: ModelFolder, graph: str, options: SessionOptions) -> OnnxRuntimeSession:
        """Load and optimise an ONNX file; TensorRT builds its engine in the first run of every batch size."""
        if reason := self.unfit(options):
            raise BackendError(reason)
        return OnnxRuntimeSession(folder, graph, options, name=self.name, provider=self.provider)


ROUNDINGS = ("fp32", "fp16", "int8")
ONNXRUNTIME = OnnxRuntimeBackend("onnxruntime", ("cuda", "cpu"), ROUNDINGS, SUFFIX, auto=True, provider=CUDA_EP)
ONNXRUNTIME_TENSORRT = OnnxRuntimeBackend(
    "onnxruntime-tensorrt", ("cuda",), ROUNDINGS, SUFFIX, auto=False, provider=TENSORRT_EP
)


def overflowing(folder: ModelFolder, name: str, options: SessionOptions) -> str | None:
    """Why an int8 graph would answer wrongly on this CPU; None if it would not."""
    bits = (folder.manifest.get(name, {}).get("options") or {}).get("weight_bits")
    if options.device != "cpu" or bits != 8 or not products_overflow():
        return None
    return f"products of the 8-bit weights of {name} overflow on this CPU (AVX2 without VNNI): export it again here"


def products_overflow(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether products of bytes overflow on this CPU (AVX2 without VNNI), where weights of 7 bits do not."""
    try:
        words = set(cpuinfo.read_text(encoding="utf-8", errors="replace").split())
    except OSError:
        return False
    return "avx2" in words and not words & {"avx_vnni", "avx512_vnni"}


class OnnxRuntimeSession(Session):
    """A graph in ONNX Runtime; T is the folder's clip length."""

    keeps_outputs = True

    def __init__(
        self,
        folder: ModelFolder,
        graph: str,
        options: SessionOptions,
        path: Path | None = None,
        name: str = "onnxruntime",
        provider: str = CUDA_EP,
    ) -> None:
        """`path` is a graph to check before it becomes the folder's; without it the folder's own, verified, is read.

        Raises:
            BackendError: `provider` does not start on the device.
            ModelFolderError: the file is not such a graph.
        """
        ort = require("onnxruntime", "")
        file = artefact(graph, options.precision, SUFFIX)
        self.backend, self.device, self.precision = name, options.device, options.precision
        content = path.read_bytes() if path else folder.read(file)
        self.inputs, self.outputs = graph_specs(folder.config, graph, folder.config.clip_length)
        settings = ort.SessionOptions()
        settings.log_severity_level = 3
        # Threads that wait for the next run would take the processor from the kernels and graphs in between.
        settings.add_session_config_entry("session.force_spinning_stop", "1")
        if options.threads is not None:
            settings.intra_op_num_threads = options.threads
        wanted = providers(options, provider)
        try:  # without ONNX Runtime's own fallback, which would go on elsewhere and print that
            self._session: Any = ort.InferenceSession(content, settings, providers=wanted, enable_fallback=0)
        except Exception as error:  # onnxruntime's own exception types share no base
            reason = told_by(error)
            if len(wanted) > 1 and type(error).__name__ not in ("InvalidProtobuf", "InvalidGraph"):
                raise BackendError(f"onnxruntime could not start {provider} on '{self.device}': {reason}") from None
            raise ModelFolderError(f"onnxruntime cannot load '{folder.path / file}': {reason}") from None
        self._session.disable_fallback()
        if len(wanted) > 1 and self._session.get_providers()[0] != provider:
            raise BackendError(
                f"device '{self.device}' was asked for, but onnxruntime could not start {provider} here; it prints "
                f"which library is missing ({REMEDIES[provider]})"
            )
        self._check_graph(file)

    @at_work()
    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        names = [spec.name for spec in self.outputs]
        with self._running(inputs):
            return dict(zip(names, self._session.run(names, dict(inputs)), strict=True))

    def run_kept(self, inputs: Arrays, kept: Collection[str]) -> Iterator[Part]:
        """See `Session`: one part."""
        kind, number = self.device.partition(":")[0], device_number(self.device)
        check_kept(self.outputs, kept)
        with self._running(inputs):
            binding = self._session.io_binding()
            for name, array in inputs.items():
                binding.bind_cpu_input(name, np.ascontiguousarray(array))
            for spec in self.outputs:
                binding.bind_output(spec.name, *((kind, number) if spec.name in kept else ()))
            self._session.run_with_iobinding(binding)
            binding.synchronize_outputs()
        values = dict(zip([spec.name for spec in self.outputs], binding.get_outputs(), strict=True))
        arrays = {name: value.numpy() for name, value in values.items() if name not in kept}
        where = number if kind == "cuda" else CPU
        left = {
            name: DeviceArray(values[name].data_ptr(), tuple(values[name].shape()), "float32", where) for name in kept
        }
        yield Part(slice(0, len(inputs[self.inputs[0].name])), arrays, left)  # memory that lives as long as `values`

    @contextlib.contextmanager
    def _running(self, inputs: Arrays) -> Iterator[None]:
        """The inputs checked, and ONNX Runtime's errors as ours."""
        self._check(inputs, closed=self._session is None)
        try:
            yield
        except Exception as error:  # onnxruntime's own exception types share no base
            reason = told_by(error)
            raise BackendError(f"onnxruntime failed on {self.device}: {reason}; try a smaller batch") from None

    def close(self) -> None:
        self._session = None

    def _check_graph(self, file: str) -> None:
        for kind, specs, found in (
            ("inputs", self.inputs, self._session.get_inputs()),
            ("outputs", self.outputs, self._session.get_outputs()),
        ):
            check_specs(file, kind, specs, [_spec(tensor) for tensor in found])


def _spec(tensor: Any) -> TensorSpec:
    dtype = tensor.type.removeprefix("tensor(").removesuffix(")")
    shape = tuple(n if isinstance(n, int) else None for n in tensor.shape)
    return TensorSpec(tensor.name, "float32" if dtype == "float" else dtype, shape)


def told_by(error: Exception) -> str:
    """The first line of what ONNX Runtime says; it repeats names of a graph, however long."""
    return str(error)[:1000].partition("\n")[0][:300]


def providers(options: SessionOptions, provider: str) -> list[Any]:
    """What to give to ONNX Runtime: providers with their options, the best first.

    An engine cache of TensorRT's would be native code that no manifest vouches for, so there is none.
    """
    if not options.device.startswith("cuda"):
        return ["CPUExecutionProvider"]
    index = options.device.partition(":")[2] or "0"
    found: list[Any] = [(CUDA_EP, {"device_id": index, "use_tf32": "0"}), "CPUExecutionProvider"]  # fp32 is to be fp32
    if provider == TENSORRT_EP:
        flags = {  # what the graph itself holds, and no other rounding
            "trt_fp16_enable": str(int(options.precision == "fp16")),
            "trt_int8_enable": str(int(options.precision == "int8")),
            "trt_engine_cache_enable": "0",
            "trt_timing_cache_enable": "0",
        }
        found.insert(0, (TENSORRT_EP, {"device_id": index, **flags}))
    return found
