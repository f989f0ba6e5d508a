"""mdhr_sdk: facial action units from video, with MDHR (CVPR 2024).

Everything that a user needs is here: `from mdhr_sdk import AUDetector`. Each name is loaded at its first use, so
`import mdhr_sdk` loads neither PyTorch nor any backend; those are loaded with the folder that is opened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if TYPE_CHECKING:
    from .detector import AUDetector as AUDetector
    from .errors import BackendError as BackendError
    from .errors import CheckpointError as CheckpointError
    from .errors import ConfigError as ConfigError
    from .errors import DataError as DataError
    from .errors import ExportError as ExportError
    from .errors import FetchError as FetchError
    from .errors import InputError as InputError
    from .errors import MDHRError as MDHRError
    from .errors import MissingDependencyError as MissingDependencyError
    from .errors import ModelFolderError as ModelFolderError
    from .errors import NotFiniteError as NotFiniteError
    from .errors import OutputError as OutputError
    from .errors import SourceError as SourceError
    from .errors import SupersededError as SupersededError
    from .errors import TrainingError as TrainingError
    from .errors import TruncatedSourceError as TruncatedSourceError
    from .measures import FaceMeasures as FaceMeasures
    from .model import build_mdhr as build_mdhr
    from .model import load_model as load_model
    from .model import save_model as save_model
    from .modelfolder import EventRule as EventRule
    from .modelfolder import FolderConfig as FolderConfig
    from .modelfolder import ModelConfig as ModelConfig
    from .modelfolder import ModelFolder as ModelFolder
    from .ops import fuse_dynamics as fuse_dynamics
    from .ops import fuse_dynamics_step as fuse_dynamics_step
    from .outputs import CsvSink as CsvSink
    from .outputs import EventsSink as EventsSink
    from .outputs import FileSink as FileSink
    from .outputs import JsonlSink as JsonlSink
    from .outputs import OpenFaceSink as OpenFaceSink
    from .outputs import OverlaySink as OverlaySink
    from .outputs import ParquetSink as ParquetSink
    from .outputs import PyFeatSink as PyFeatSink
    from .outputs import Results as Results
    from .outputs import Sink as Sink
    from .outputs import SinkGroup as SinkGroup
    from .outputs import annotate as annotate
    from .outputs import as_json as as_json
    from .outputs import draw_timeline as draw_timeline
    from .outputs.live import LinesSink as LinesSink
    from .outputs.live import LiveTables as LiveTables
    from .outputs.live import LslSink as LslSink
    from .outputs.live import MqttSink as MqttSink
    from .outputs.live import QueuedSink as QueuedSink
    from .outputs.live import SegmentSink as SegmentSink
    from .outputs.serve import Calibrate as Calibrate
    from .outputs.serve import Mark as Mark
    from .outputs.serve import ServeSink as ServeSink
    from .pipeline.turns import ResultStream as ResultStream
    from .results import AUEvent as AUEvent
    from .results import AUScore as AUScore
    from .results import FaceResult as FaceResult
    from .results import FrameResult as FrameResult
    from .results import ModelInfo as ModelInfo
    from .results import SourceStatus as SourceStatus
    from .vision import Frame as Frame
    from .vision import Scope as Scope
    from .vision import Source as Source
    from .vision import align as align
    from .vision import list_sources as list_sources
    from .vision import live_source as live_source
    from .vision import prepare as prepare

_PUBLIC = {
    ".detector": ("AUDetector",),
    ".errors": (
        "BackendError", "CheckpointError", "ConfigError", "DataError", "ExportError", "FetchError", "InputError",
        "MDHRError", "MissingDependencyError", "ModelFolderError", "NotFiniteError", "OutputError", "SourceError",
        "SupersededError", "TrainingError", "TruncatedSourceError",
    ),
    ".measures": ("FaceMeasures",),
    ".model": ("build_mdhr", "load_model", "save_model"),
    ".modelfolder": ("EventRule", "FolderConfig", "ModelConfig", "ModelFolder"),
    ".ops": ("fuse_dynamics", "fuse_dynamics_step"),
    ".outputs": (
        "CsvSink", "EventsSink", "FileSink", "JsonlSink", "OpenFaceSink", "OverlaySink", "ParquetSink", "PyFeatSink",
        "Results", "Sink", "SinkGroup", "annotate", "as_json", "draw_timeline",
    ),
    ".outputs.live": ("LinesSink", "LiveTables", "LslSink", "MqttSink", "QueuedSink", "SegmentSink"),
    ".outputs.serve": ("Calibrate", "Mark", "ServeSink"),
    ".pipeline.turns": ("ResultStream",),
    ".results": ("AUEvent", "AUScore", "FaceResult", "FrameResult", "ModelInfo", "SourceStatus"),
    ".vision": ("Frame", "Scope", "Source", "align", "list_sources", "live_source", "prepare"),
}  # fmt: skip
_HOMES = {name: home for home, names in _PUBLIC.items() for name in names}

# `import *` brings no PyTorch.
__all__ = ["__version__", *(name for name, home in _HOMES.items() if home != ".model")]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mdhr_sdk' has no attribute '{name}'")
    from importlib import import_module

    value = getattr(import_module(_HOMES[name], __name__), name)
    globals()[name] = value  # so that it is looked up once
    return value


def __dir__() -> list[str]:
    return sorted({"__all__", "__doc__", "__file__", "__name__", "__path__", "__version__", *_HOMES})
