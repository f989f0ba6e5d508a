"""A video read through Triton: the graphs run on the server; faces, motion and face geometry are worked out here.

    mdhr export edge --format triton --out repository
    tritonserver --model-repository=repository                        (on the server)
    pip install --no-deps tritonclient==2.58.0 python-rapidjson grpcio   (see docs/triton.md)
    python examples/triton_stream.py edge clip.mp4 --url server:8001

It was not run against Triton, only against a stand-in that speaks its protocol (triton_standin.py in tests/support).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from mdhr_sdk import AUDetector, FrameResult, ModelFolder
from mdhr_sdk.deploy.export.triton import served_name
from mdhr_sdk.errors import BackendError
from mdhr_sdk.pipeline.modes import model_info
from mdhr_sdk.pipeline.scores.geometry import read_geometry
from mdhr_sdk.pipeline.scores.intensity import read_intensity
from mdhr_sdk.runtime import Session
from mdhr_sdk.runtime.session import Arrays, graph_specs
from mdhr_sdk.runtime.stream.parameters import read_parameters
from mdhr_sdk.runtime.stream.stream_graphs import StreamGraphs


class Served(Session):
    """A graph on a Triton server, as any other session."""

    backend, device, precision = "triton", "cpu", "fp32"  # its tensors come to this machine's memory

    def __init__(self, client: triton.InferenceServerClient, folder: ModelFolder, graph: str) -> None:
        self.inputs, self.outputs = graph_specs(folder.config, graph, folder.config.clip_length)
        self._client, self._model = client, served_name(folder, graph)

    def run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        self._check(inputs, closed=False)
        given = []
        for name, array in inputs.items():
            given.append(triton.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype)))
            given[-1].set_data_from_numpy(np.ascontiguousarray(array))
        wanted = [triton.InferRequestedOutput(spec.name) for spec in self.outputs]
        try:
            answer = self._client.infer(self._model, given, outputs=wanted)
        except InferenceServerException as error:
            raise BackendError(f"Triton does not answer for '{self._model}': {error}") from None
        return {spec.name: answer.as_numpy(spec.name) for spec in self.outputs}

    def close(self) -> None:
        """The client is the caller's."""


def open_detector(client: triton.InferenceServerClient, model: str) -> AUDetector:
    """A detector of a model folder, which must be the one that the repository was made of; its graphs are served."""
    folder = ModelFolder.open(model)
    encoder, relations, temporal = (Served(client, folder, graph) for graph in ("encoder", "relations", "temporal"))
    parameters = read_parameters(folder, scaled=True) if folder.config.model.mfd else None
    graphs = StreamGraphs(folder.config, encoder, relations, temporal, parameters, "Triton", threads=None)
    read = {"geometry": read_geometry(folder), "intensity": read_intensity(folder)}
    return AUDetector(folder.config, graphs, model_info(folder, encoder), **read)


def stream(url: str, model: str, source: str) -> Iterator[FrameResult]:
    """Results as soon as they are due, the lookahead behind the video."""
    with triton.InferenceServerClient(url) as client, open_detector(client, model) as detector:
        yield from detector.stream(source)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="the model folder, or edge")
    parser.add_argument("source", help="a video, a camera number or a URL")
    parser.add_argument("--url", default="localhost:8001", help="where Triton answers by gRPC")
    args = parser.parse_args()
    for frame in stream(args.url, args.model, args.source):
        for face in frame.faces:
            print(f"{frame.timestamp_s:8.3f} s  face {face.track_id}  {' '.join(face.active)}", flush=True)


if __name__ == "__main__":
    main()
