"""Which backend runs a folder on this machine, on what and how precisely, and why."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from ..errors import BackendError, plain
from ..modelfolder.artefacts import GRAPHS, PRECISIONS, artefact, no_stream
from ..modelfolder.folder import ModelFolder
from .backends import BACKENDS, Backend
from .cuda.devices import cuda_device_count, no_device
from .session import Session, SessionOptions
from .stream.clip_of_parts import ClipOfParts
from .stream.stream_graphs import BESIDE, StreamGraphs, small_options

# Of `precision='auto'`: an fp16 graph lies in a folder because someone exported it for a GPU. On a CPU nothing is
# rounded unless that was asked for.
AUTO_PRECISIONS = {"cuda": ("fp16", "fp32"), "cpu": ("fp32",)}
MOST_THREADS = 1024


def open_session(
    folder: ModelFolder,
    backend: str = "auto",
    options: SessionOptions | None = None,
    graph: str = "clip",
    beside: Sequence[str] = (),
) -> tuple[Session, str]:
    """Open a graph of `folder`. Where a backend has no file of 'clip', the graphs of streams are run on whole clips.

    Args:
        backend: 'auto', or one of `BACKENDS`; a named backend that cannot run is an error, never replaced.
        graph: one of `mdhr_sdk.modelfolder.artefacts.GRAPHS`.
        beside: graphs that will be opened with `open_beside`; a backend that cannot run them all is passed over.

    Returns:
        The session, and one line that says what was chosen and why not the ones before it.

    Raises:
        BackendError: an unknown backend, one that cannot run here, or none that can.
    """
    options = options or SessionOptions()
    _check(backend, options, graph)
    if options.device.startswith("cuda") and (reason := no_device(options.device)):
        raise BackendError(f"nothing can run on device '{options.device}': {reason}; take 'cpu' or 'auto'")
    passed_over: dict[str, None] = {}
    for candidate, concrete in _attempts(backend, options):
        reason = obstacle(candidate, folder, concrete, graph, beside)
        if reason is None:
            try:
                session, told = _opened(candidate, folder, concrete, graph)
            except BackendError as error:
                reason = str(error)
            else:
                return session, plain("; ".join([told, *passed_over]))
        passed_over[f"not {candidate.name}: {reason}"] = None
    reasons = "; ".join(passed_over)
    if backend == "auto":
        raise BackendError(f"no backend can run '{folder.path}' here: {reasons}")
    raise BackendError(f"backend '{backend}' cannot run '{folder.path}' here: {reasons}")


def open_streams(folder: ModelFolder, backend: str = "auto", options: SessionOptions | None = None) -> StreamGraphs:
    """Open 'encoder', 'relations' and 'temporal' of a folder, as `open_session`; beside an int8 encoder the others are
    fp32.

    Raises:
        BackendError, ModelFolderError: as `open_session`; or the model has another fusion than the released one.
    """
    options = options or SessionOptions()
    encoder, choice = open_session(folder, backend, options, "encoder", BESIDE)
    return StreamGraphs.beside(folder, encoder, options, choice)


def _in_parts(backend: Backend, folder: ModelFolder, options: SessionOptions, graph: str) -> bool:
    """Whether a clip is run by its parts: there is no graph of whole clips, but all graphs of streams."""
    if graph != "clip" or backend.suffix is None:
        return False
    whole = artefact(graph, options.precision, backend.suffix)
    if whole in folder.manifest or folder.has(whole):  # one that is lost or damaged is told
        return False
    wanted = [("encoder", options), *((small, small_options(options)) for small in BESIDE)]
    return all(folder.has(artefact(part, own.precision, backend.suffix)) for part, own in wanted)


def _opened(backend: Backend, folder: ModelFolder, options: SessionOptions, graph: str) -> tuple[Session, str]:
    """A session, and what is run."""
    if not _in_parts(backend, folder, options, graph):
        session = backend.open_graph(folder, graph, options)
        return session, f"{backend.name} {session.precision} on {session.device}"
    encoder = backend.open_graph(folder, "encoder", options)
    session = ClipOfParts(StreamGraphs.beside(folder, encoder, options))
    return session, f"{backend.name} {session.precision} on {session.device}, {', '.join(('encoder', *BESIDE))}"


def _check(backend: str, options: SessionOptions, graph: str) -> None:
    if not re.fullmatch(r"auto|cpu|cuda(:[0-9]+)?", str(options.device)):
        raise BackendError(f"unknown device '{options.device}'; expected auto, cpu, cuda or cuda:N")
    if options.precision not in ("auto", *PRECISIONS):
        raise BackendError(f"unknown precision '{options.precision}'; expected auto or one of {', '.join(PRECISIONS)}")
    if graph not in GRAPHS:
        raise BackendError(f"unknown graph '{graph}'; expected one of {', '.join(GRAPHS)}")
    if options.threads is not None and not _is_count(options.threads):
        raise BackendError(f"threads must be an integer of at least 1; got {options.threads!r}")
    if options.threads is not None and options.threads > MOST_THREADS:  # each takes memory, so a slip fills the machine
        raise BackendError(f"threads must be at most {MOST_THREADS:,}; got {options.threads:,}")
    if backend != "auto" and backend not in BACKENDS:
        raise BackendError(f"unknown backend '{backend}'; expected auto or one of {', '.join(BACKENDS)}")


def _attempts(backend: str, options: SessionOptions) -> list[tuple[Backend, SessionOptions]]:
    """What to try, best first: backends with a device and a precision that are no longer 'auto'; CUDA before CPU."""
    found = []
    named, anywhere = backend != "auto", options.device == "auto"
    devices = [options.device] if not anywhere else ["cuda", "cpu"] if cuda_device_count() else ["cpu"]
    for candidate in BACKENDS.values():
        if not (candidate.name == backend if named else candidate.auto):
            continue
        fit = [device for device in devices if device.partition(":")[0] in candidate.devices]
        if named and not fit:  # told what it lacks
            fit = [candidate.devices[0] if anywhere else options.device]
        for device in fit:
            wanted = AUTO_PRECISIONS[device.partition(":")[0]]
            own = [precision for precision in wanted if precision in candidate.precisions]
            for precision in own if options.precision == "auto" else [options.precision]:
                unproven = named or options.unproven
                found.append((candidate, replace(options, device=device, precision=precision, unproven=unproven)))
    return sorted(found, key=lambda attempt: attempt[1].device == "cpu")


def obstacle(
    backend: Backend, folder: ModelFolder, options: SessionOptions, graph: str, beside: Sequence[str] = ()
) -> str | None:
    """Why a backend cannot run a graph and those beside it, here or anywhere; None if it can."""
    if _in_parts(backend, folder, options, graph):
        graph, beside = "encoder", BESIDE
    if options.device.partition(":")[0] not in backend.devices:
        return f"it runs on {backend.devices[0]}, not on '{options.device}'"
    if options.precision not in backend.precisions:
        return f"it runs {', '.join(backend.precisions)}, not {options.precision}"
    small = small_options(options)
    wanted = [(graph, options), *((other, small) for other in beside)]
    if reason := next(filter(None, (backend.obstacle(folder, one, own) for one, own in wanted)), None):
        return reason
    if not beside or backend.suffix is None:
        return None
    return no_stream(folder, artefact(graph, options.precision, backend.suffix), backend.name, options.precision)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
