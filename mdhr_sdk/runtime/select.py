"""Which backend runs a folder on this machine, and why."""

from __future__ import annotations

import re
from types import ModuleType

from ..errors import BackendError
from ..folder import ModelFolder
from . import onnxruntime_session, openvino_session, torch_session, torchscript_session
from .base import GRAPHS, PRECISIONS, Session, SessionOptions

# In the order of `auto`, which takes the first that has no obstacle: ONNX Runtime comes with every installation and
# runs on CUDA too; OpenVINO is as fast on CPUs in fp32, and faster in bf16 when that is asked for.
BACKENDS: dict[str, ModuleType] = {
    module.NAME: module for module in (onnxruntime_session, openvino_session, torchscript_session, torch_session)
}


def open_session(
    folder: ModelFolder, backend: str = "auto", options: SessionOptions | None = None, graph: str = "clip"
) -> tuple[Session, str]:
    """Open a graph of `folder`.

    Args:
        backend: 'auto', or one of `BACKENDS`; a named backend that cannot run is an error, never replaced.
        graph: one of `mdhr_sdk.runtime.base.GRAPHS`.

    Returns:
        The session, and one line that says what was chosen and why not the ones before it.

    Raises:
        BackendError: an unknown backend, one that cannot run here, or none that can.
    """
    options = options or SessionOptions()
    if not re.fullmatch(r"auto|cpu|cuda(:[0-9]+)?", str(options.device)):
        raise BackendError(f"unknown device '{options.device}'; expected auto, cpu, cuda or cuda:N")
    if options.precision not in PRECISIONS:
        raise BackendError(f"unknown precision '{options.precision}'; expected one of {', '.join(PRECISIONS)}")
    if graph not in GRAPHS:
        raise BackendError(f"unknown graph '{graph}'; expected one of {', '.join(GRAPHS)}")
    if options.threads is not None and not (isinstance(options.threads, int) and options.threads >= 1):
        raise BackendError(f"threads must be an integer of at least 1; got {options.threads!r}")
    if backend != "auto" and backend not in BACKENDS:
        raise BackendError(f"unknown backend '{backend}'; expected auto or one of {', '.join(BACKENDS)}")

    passed_over: list[str] = []
    for name, module in BACKENDS.items():
        if backend not in ("auto", name):
            continue
        obstacle = module.obstacle(folder, graph, options)
        if obstacle is None:
            session = module.open_graph(folder, graph, options)
            return session, "; ".join([f"{name} on {session.device}", *passed_over])
        passed_over.append(f"not {name}: {obstacle}")
    if backend == "auto":
        raise BackendError(f"no backend can run '{folder.path}' here: {'; '.join(passed_over)}")
    raise BackendError(f"backend '{backend}' cannot run '{folder.path}' here: {obstacle}")
