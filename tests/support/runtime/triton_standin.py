"""A server that speaks Triton's gRPC protocol, reads its model repositories, and runs the graphs by ONNX Runtime.

It is not Triton: it checks a request against the model's config.pbtxt, as Triton documents it, and batches nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path

import grpc
import numpy as np
import onnxruntime
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc
from tritonclient.utils import triton_to_np_dtype

Config = model_config_pb2.ModelConfig


def read_config(model: Path) -> Config:
    """The config of a model, parsed by Triton's own schema."""
    return text_format.Parse((model / "config.pbtxt").read_text(encoding="utf-8"), Config())


def type_of(tensor: object) -> str:
    """'FP32' of a tensor of a config."""
    return model_config_pb2.DataType.Name(tensor.data_type).removeprefix("TYPE_")


class Standin(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Attributes: batches: model -> the largest batch that came."""

    def __init__(self, repository: Path) -> None:
        self.batches: dict[str, int] = {}
        self._models = {}
        for folder in sorted(repository.iterdir()):
            session = onnxruntime.InferenceSession(folder / "1" / "model.onnx", providers=["CPUExecutionProvider"])
            self._models[folder.name] = (read_config(folder), session)

    def ModelInfer(self, request, context):  # noqa: N802 (gRPC's name)
        if request.model_name not in self._models:
            context.abort(grpc.StatusCode.NOT_FOUND, f"unknown model: '{request.model_name}'")
        config, session = self._models[request.model_name]
        feeds, known = {}, {one.name: one for one in config.input}
        for tensor, content in zip(request.inputs, request.raw_input_contents, strict=True):
            told = known[tensor.name]
            batch, *shape = tensor.shape
            fits = len(shape) == len(told.dims) and all(d in (-1, n) for d, n in zip(told.dims, shape, strict=True))
            if not fits or tensor.datatype != type_of(told) or not 1 <= batch <= config.max_batch_size:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"unexpected shape or type of '{tensor.name}'")
            self.batches[config.name] = max(batch, self.batches.get(config.name, 0))
            feeds[tensor.name] = np.frombuffer(content, triton_to_np_dtype(tensor.datatype)).reshape(tensor.shape)
        names = [one.name for one in request.outputs]
        answer = service_pb2.ModelInferResponse(model_name=config.name, model_version="1")
        for name, array in zip(names, session.run(names, feeds), strict=True):
            (told,) = (one for one in config.output if one.name == name)
            answer.outputs.add(name=name, datatype=type_of(told), shape=array.shape)
            answer.raw_output_contents.append(np.ascontiguousarray(array).tobytes())
        return answer


@contextmanager
def serving(repository: Path) -> Iterator[tuple[str, Standin]]:
    """A server on a free port of this machine: its address, and what it has seen."""
    server, standin = grpc.server(futures.ThreadPoolExecutor(2)), Standin(repository)
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(standin, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}", standin
    finally:
        server.stop(None).wait()
