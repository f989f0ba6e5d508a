"""Strict comparison of the tensors a file has with the tensors a model needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..errors import CheckpointError
from ..modelfolder.config import ModelConfig

Shapes = Mapping[str, Sequence[int]]


def check_fit(what: str, config: ModelConfig, found: Shapes, needed: Shapes) -> None:
    """Check names and shapes against what the model needs.

    Raises:
        CheckpointError: naming every missing, unexpected and misshapen key.
    """
    missing = tuple(key for key in needed if key not in found)
    unexpected = tuple(key for key in found if key not in needed)
    misshapen = tuple(
        (key, tuple(found[key]), tuple(shape))
        for key, shape in needed.items()
        if key in found and tuple(found[key]) != tuple(shape)
    )
    if not (missing or unexpected or misshapen):
        return
    raise CheckpointError(
        f"{what} does not fit {config.label_set.name} {config.backbone} (choose the label set and backbone that it was "
        "trained with)",
        missing,
        unexpected,
        misshapen,
    )
