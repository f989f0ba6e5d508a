"""A model on disk: configuration, weights, exported graphs, and the manifest that vouches for every file."""

from .config import FolderConfig, ModelConfig, Preprocessing
from .folder import ModelFolder

__all__ = ["FolderConfig", "ModelConfig", "ModelFolder", "Preprocessing"]
