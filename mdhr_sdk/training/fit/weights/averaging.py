"""The mean of two models' weights; often better than both if one was trained from the other."""

from __future__ import annotations

from pathlib import Path

from ....errors import ConfigError
from ....model import load_model, save_model
from ....modelfolder.config import FolderConfig
from ....modelfolder.folder import ModelFolder
from ...data.subjects import note_together
from ...evaluate.evaluation import HALF
from .starting import difference

SAME = ("model", "clip_length", "preprocessing")


def average(first: ModelFolder, second: ModelFolder, out: Path, share: float = 0.5, half: bool = False) -> ModelFolder:
    """Write a model with the weighted mean of two models' weights.

    Reliability tiers and geometry are dropped, since they were made with other weights; training subjects of both are
    kept. Thresholds that were chosen with geometry become 0.5.

    Args:
        share: of the second in the mean, 0 to 1.
        half: store matrices in fp16.

    Raises:
        ConfigError: a share out of range, models that differ in more than weights, or one that is untrained.
        ModelFolderError, CheckpointError: a folder is not as it should be, or `out` holds something.
    """
    if not 0 <= share <= 1:
        raise ConfigError(f"the second model's share is expected in [0, 1]; got {share}")
    ours, theirs = first.config, second.config
    if told := _difference(ours, theirs):
        raise ConfigError(
            f"weights of '{first.path}' and '{second.path}' have no mean, for they differ in {told}; take models of "
            "one architecture with the same thresholds, one trained on from the other"
        )
    if untrained := [one.path for one in (first, second) if not one.config.trained]:
        raise ConfigError(f"'{untrained[0]}' is not trained: its weights are random; take trained models")
    model, other_weights = load_model(first), load_model(second).state_dict()
    mean = {
        key: (one * (1 - share) + other_weights[key] * share).to(one.dtype) if one.is_floating_point() else one
        for key, one in model.state_dict().items()
    }
    model.load_state_dict(mean)
    made = save_model(
        model,
        out,
        clip_length=ours.clip_length,
        thresholds=_of_network(ours),
        trained=True,
        provenance=f"mean, {1 - share:.2g} to {share:.2g}, of: {ours.provenance}; and of: {theirs.provenance}",
        licence="; and ".join(dict.fromkeys((ours.licence, theirs.licence))),
        half=half,
    )
    learnt = "; and ".join(dict.fromkeys(filter(None, (ours.trained_on, theirs.trained_on))))
    made = made.update(preprocessing=ours.preprocessing, trained_on=learnt)
    note_together(made, first, second)
    return made


def _of_network(config: FolderConfig) -> tuple[float, ...]:
    """Thresholds of the network alone; those of a model with geometry are for both together."""
    return (HALF,) * len(config.thresholds) if any(config.geometry) else config.thresholds


def _difference(ours: FolderConfig, theirs: FolderConfig) -> str:
    """In what two models differ that have no mean for it; '' for none."""
    for name in SAME:
        one, other = getattr(ours, name), getattr(theirs, name)
        if one != other:
            return difference(one, other) if name == "model" else f"{name} ({one!s:.60} there, {other!s:.60} here)"
    both = list(zip(_of_network(ours), _of_network(theirs), strict=True))
    if pairs := [(one, other) for one, other in both if one != other]:
        return f"{len(pairs)} of {len(both)} thresholds, as {pairs[0][0]:.3g} there and {pairs[0][1]:.3g} here"
    return ""
