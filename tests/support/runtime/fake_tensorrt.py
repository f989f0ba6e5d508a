"""TensorRT 10, 11 and TensorRT-RTX without a GPU: their Python API over `fake_cuda`, engines run by ONNX Runtime.

As in the real ones, calls that fail answer False or None and log why. What the real ones would answer with a crash or
with wrong numbers (memory that is not live, a graph captured too early) stops the test here.
"""
# ruff: noqa: N802

from __future__ import annotations

import enum
import json
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from google.protobuf.message import DecodeError

from fake_cuda import FakeCuda

MAGIC = b"fake engine "
TYPES = {1: "FLOAT", 2: "UINT8", 10: "HALF", 16: "BF16"}
NUMPY = {"FLOAT": np.float32, "UINT8": np.uint8, "HALF": np.float16}


class FakeTensorRT(ModuleType):
    """The module.

    Attributes:
        cuda: the machine it runs on.
        refuse: methods that fail from now on.
        networks: every network that was made.
    """

    def __init__(self, name: str, version: str, cuda: FakeCuda) -> None:
        super().__init__(name)
        self.__version__ = version
        self.cuda = cuda
        self.rtx = name.startswith("tensorrt_rtx")
        self.refuse: set[str] = set()
        self.networks: list[_Network] = []
        self.settings: list[_Settings] = []
        enums = {
            "NetworkDefinitionCreationFlag": "EXPLICIT_BATCH STRONGLY_TYPED",
            "BuilderFlag": "TF32 FP16 INT8" if version.startswith("10.") else "TF32",
            "MemoryPoolType": "WORKSPACE",
            "ProfilingVerbosity": "LAYER_NAMES_ONLY DETAILED",
            "TensorIOMode": "NONE INPUT OUTPUT",
            "LayerInformationFormat": "ONELINE JSON",
            "DataType": " ".join(TYPES.values()),
            "LayerType": "ANY",
            "ErrorCode": "SUCCESS MODEL_DESERIALIZE_FAILED",
            "CudaGraphStrategy": "DISABLED WHOLE_GRAPH_CAPTURE" if self.rtx else "",
            "ComputeCapability": "NONE CURRENT SM75 SM86 SM120" if self.rtx else "",
        }
        for one, members in enums.items():
            if members:
                setattr(self, one, enum.IntEnum(one, members, start=0))
        self.ILogger = _Logger

    def nptype(self, dtype: Any) -> Any:
        if dtype.name not in NUMPY:
            raise TypeError(f"Could not resolve TensorRT datatype to an equivalent numpy datatype: {dtype}")
        return NUMPY[dtype.name]

    def Builder(self, logger: Any) -> _Builder:
        if not self.rtx and not self.cuda.devices:
            logger.log(_Severity.ERROR, "CUDA initialization failure with error: 35")
            raise TypeError("pybind11::init(): factory function returned nullptr")
        return _Builder(self, logger)

    def OnnxParser(self, network: _Network, logger: Any) -> _Parser:
        return _Parser(self, network)

    def Runtime(self, logger: Any) -> Any:
        return SimpleNamespace(deserialize_cuda_engine=lambda content: self._deserialized(content, logger))

    def _deserialized(self, content: bytes, logger: Any) -> _Engine | None:
        head, _, model = content.removeprefix(MAGIC).partition(b"\0")
        if not (content.startswith(MAGIC) and head.endswith(b"}")):
            reason = "Serialization assertion header.magicTag == kEXPECTED_MAGIC_TAG failed."
        elif not self.cuda.devices:
            reason = "cudaError 35: CUDA driver version is insufficient for CUDA runtime version"
        else:
            header = json.loads(head)
            if header["version"] == self.__version__ and header["device"] in ("any", self.cuda.devices[0][0]):
                return _Engine(self, logger, header["profile"], model)
            reason = "The engine plan file is of another version of TensorRT or another device"
        logger.log(_Severity.ERROR, f"IRuntime::deserializeCudaEngine: Error Code 1:\n{reason}")
        return None


class _Severity(enum.IntEnum):
    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)


class _Logger:
    Severity = _Severity

    def __init__(self) -> None:
        self.ready = True


class _Network:
    def __init__(self, trt: FakeTensorRT) -> None:
        self.trt, self.model = trt, onnx.ModelProto()

    def _tensor(self, value: Any) -> Any:
        kind = value.type.tensor_type
        shape = tuple(dim.dim_value if dim.HasField("dim_value") else -1 for dim in kind.shape.dim)
        return SimpleNamespace(name=value.name, shape=shape, dtype=self.trt.DataType[TYPES[kind.elem_type]])

    def get_input(self, index: int) -> Any:
        return self._tensor(self.model.graph.input[index])

    def get_output(self, index: int) -> Any:
        return self._tensor(self.model.graph.output[index])

    def get_layer(self, index: int) -> Any:
        node = self.model.graph.node[index]
        output = SimpleNamespace(dtype=self.trt.DataType.FLOAT, shape=(-1,))
        return SimpleNamespace(name=node.name, type=self.trt.LayerType.ANY, num_outputs=1, get_output=lambda _: output)

    num_inputs = property(lambda self: len(self.model.graph.input))
    num_outputs = property(lambda self: len(self.model.graph.output))
    num_layers = property(lambda self: len(self.model.graph.node))


class _Parser:
    def __init__(self, trt: FakeTensorRT, network: _Network) -> None:
        self._trt, self._network, self.num_errors = trt, network, 0

    def parse(self, content: bytes) -> bool:
        try:
            self._network.model.ParseFromString(content)
        except DecodeError:
            self.num_errors = 1
        return self.num_errors == 0

    def get_error(self, index: int) -> Any:
        code = self._trt.ErrorCode.MODEL_DESERIALIZE_FAILED
        told = {"code": code, "node_name": "", "node_operator": "", "desc": "Failed to parse the ONNX model."}
        return SimpleNamespace(**{key: lambda value=value: value for key, value in told.items()})


class _Builder:
    def __init__(self, trt: FakeTensorRT, logger: Any) -> None:
        assert logger.ready, "ILogger.__init__ was not called"
        self._trt, self.logger = trt, logger

    def create_network(self, flags: int = 0) -> _Network:
        assert flags & 1 << self._trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED, "a weakly typed network"
        self._trt.networks.append(_Network(self._trt))
        return self._trt.networks[-1]

    def create_builder_config(self) -> _Settings:
        self._trt.settings.append(_Settings(self._trt))
        return self._trt.settings[-1]

    def create_optimization_profile(self) -> Any:
        shapes: dict[str, list[list[int]]] = {}
        return SimpleNamespace(
            shapes=shapes, set_shape=lambda name, *three: shapes.update({name: [list(shape) for shape in three]})
        )

    def build_serialized_network(self, network: _Network, settings: _Settings) -> bytes | None:
        if "build_serialized_network" in self._trt.refuse or not settings.profile:
            self.logger.log(_Severity.ERROR, "Could not find any implementation for node {...}.")
            return None
        if settings.cache is not None:
            settings.cache.entries += 1
        device = "any" if self._trt.rtx else self._trt.cuda.devices[0][0]
        header = {"version": self._trt.__version__, "device": device, "profile": settings.profile}
        return MAGIC + json.dumps(header).encode() + b"\0" + network.model.SerializeToString()


class _Settings:
    """IBuilderConfig."""

    def __init__(self, trt: FakeTensorRT) -> None:
        self._trt = trt
        self.profile: dict[str, Any] = {}
        self.flags = {trt.BuilderFlag.TF32}
        self.workspace = self.num_compute_capabilities = 0
        self.builder_optimization_level = 3
        self.profiling_verbosity = trt.ProfilingVerbosity.LAYER_NAMES_ONLY
        self.capabilities: dict[int, Any] = {}
        self.cache: Any = None

    def set_memory_pool_limit(self, pool: Any, size: int) -> None:
        self.workspace = size

    def clear_flag(self, flag: Any) -> None:
        self.flags.discard(flag)

    def set_compute_capability(self, value: Any, index: int) -> bool:
        self.capabilities[index] = value
        return index < self.num_compute_capabilities

    def add_optimization_profile(self, profile: Any) -> int:
        if not all(least[0] <= best[0] <= most[0] for least, best, most in profile.shapes.values()):
            return -1
        self.profile = profile.shapes
        return 0

    def create_timing_cache(self, content: bytes) -> Any:
        assert not self._trt.rtx, "a no-op that warns, in TensorRT-RTX"
        device, _, entries = (content.decode(errors="replace") or f"{self._trt.cuda.devices[0][0]}|0").partition("|")
        cache = SimpleNamespace(device=device, entries=int(entries) if entries.isdigit() else 0)
        cache.serialize = lambda: f"{cache.device}|{cache.entries}".encode()
        return cache

    def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
        if not ignore_mismatch and cache.device != self._trt.cuda.devices[0][0]:
            return False
        self.cache = cache
        return True


class _Engine:
    def __init__(self, trt: FakeTensorRT, logger: Any, profile: dict[str, Any], model: bytes) -> None:
        self.trt, self.logger, self.profile = trt, logger, profile
        network = _Network(trt)
        network.model.ParseFromString(model)
        self.inputs = [network.get_input(index) for index in range(network.num_inputs)]
        self.outputs = [network.get_output(index) for index in range(network.num_outputs)]
        self.tensors = {tensor.name: tensor for tensor in (*self.inputs, *self.outputs)}
        self.layers = [{"Name": node.name, "LayerType": node.op_type} for node in network.model.graph.node[::2]]
        self.session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
        self.num_io_tensors = len(self.tensors)

    def get_tensor_name(self, index: int) -> str:
        return list(self.tensors)[index]

    def get_tensor_mode(self, name: str) -> Any:
        return self.trt.TensorIOMode.INPUT if name in self.profile else self.trt.TensorIOMode.OUTPUT

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.tensors[name].shape

    def get_tensor_dtype(self, name: str) -> Any:
        return self.tensors[name].dtype

    def get_tensor_profile_shape(self, name: str, profile: int) -> list[tuple[int, ...]]:
        assert profile == 0
        return [tuple(shape) for shape in self.profile[name]]

    def create_runtime_config(self) -> Any:
        assert self.trt.rtx
        return SimpleNamespace(cuda_graph_strategy=self.trt.CudaGraphStrategy.DISABLED)

    def create_execution_context(self, runtime_config: Any = None) -> _Context | None:
        if "create_execution_context" in self.trt.refuse:
            self.logger.log(_Severity.ERROR, "Requested amount of GPU memory could not be allocated.")
            return None
        return _Context(self, runtime_config)

    def create_engine_inspector(self) -> Any:
        return SimpleNamespace(
            get_engine_information=lambda format: json.dumps({"Layers": self.layers, "Bindings": []})
        )


class _Context:
    def __init__(self, engine: _Engine, config: Any) -> None:
        self._engine, self._cuda = engine, engine.trt.cuda
        self.config = config
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}
        self._settled = False  # whether a run since the last change of shapes has done what TensorRT puts off

    def _refuse(self, what: str, reason: str) -> bool:
        self._engine.logger.log(_Severity.ERROR, f"IExecutionContext::{what}: {reason}")
        return False

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        least, _, most = self._engine.profile[name]
        if "set_input_shape" in self._engine.trt.refuse or not least[0] <= shape[0] <= most[0]:
            return self._refuse("setInputShape", f"{shape} is outside the profile")
        self._shapes[name], self._settled = tuple(shape), False
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        rest = self._engine.get_tensor_shape(name)[1:]
        return (next(iter(self._shapes.values()))[0] if self._shapes else -1, *rest)

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._cuda.on_device(address, 1)
        self._addresses[name] = address
        return "set_tensor_address" not in self._engine.trt.refuse

    def execute_async_v3(self, stream: int) -> bool:
        if "execute_async_v3" in self._engine.trt.refuse:
            return self._refuse("enqueueV3", "Error Code 1: Cuda Runtime (an illegal memory access)")
        if set(self._shapes) != set(self._engine.profile) or len(self._addresses) != self._engine.num_io_tensors:
            return self._refuse("enqueueV3", "Not all shapes and addresses are specified")
        if stream in self._cuda.recording and (not self._settled or "capture" in self._engine.trt.refuse):
            self._cuda.broken.add(stream)
        shapes, self._settled = dict(self._shapes), True
        self._cuda.queue(stream, lambda: self._compute(shapes))
        return True

    def _compute(self, shapes: dict[str, tuple[int, ...]]) -> None:
        feed = {}
        for tensor in self._engine.inputs:
            dtype, shape = np.dtype(NUMPY[tensor.dtype.name]), shapes[tensor.name]
            feed[tensor.name] = (
                self._memory(tensor.name, int(np.prod(shape)) * dtype.itemsize).view(dtype).reshape(shape)
            )
        names = [tensor.name for tensor in self._engine.outputs]
        for name, array in zip(names, self._engine.session.run(names, feed), strict=True):
            self._memory(name, array.nbytes)[:] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)

    def _memory(self, name: str, size: int) -> np.ndarray:
        return self._cuda.on_device(self._addresses[name], size)
