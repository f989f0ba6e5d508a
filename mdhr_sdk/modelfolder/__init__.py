"""A model on disk: configuration, weights, exported graphs, and the manifest that vouches for every file."""

from .config import EventRule, FolderConfig, ModelConfig, Preprocessing
from .folder import ModelFolder

__all__ = ["EventRule", "FolderConfig", "ModelConfig", "ModelFolder", "Preprocessing"]
