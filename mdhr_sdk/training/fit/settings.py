"""All settings of a training run, as frozen dataclasses that one YAML file fills. The defaults are preset `paper`.

    preset: paper
    data: {dataset: bp4d, lists: bp4d/list, images: bp4d/img}
    model: {backbone: resnet50, k: 5}
    trainer: {precision: bf16-mixed}

Unknown keys are refused. `key=value` on the command line changes one: `optimiser.learning_rate=3e-4`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from ...aus import LabelSet
from ...aus import label_set as named_label_set
from ...errors import ConfigError, require
from ...modelfolder.bundled import BUNDLED
from ...modelfolder.config import ModelConfig
from ...modelfolder.strict import Positive, from_mapping, strict
from .yaml_file import parsed_value, read_mapping, with_floats

Finite = Annotated[float, Field(ge=0, allow_inf_nan=False)]
AboveZero = Annotated[float, Field(gt=0, allow_inf_nan=False)]
BelowOne = Annotated[float, Field(ge=0, lt=1)]

# Each over `paper`; then comes the YAML file, then the command line.
PRESETS: dict[str, dict[str, Any]] = {
    # supplement table 2; said in full, so that a changed default cannot change it
    "paper": {
        "data": {"clip_length": 16},
        "model": {"k": 5, "region_loss_weight": 0.01},
        "optimiser": {"learning_rate": 1e-4, "betas": [0.9, 0.999], "weight_decay": 5e-4},
        "trainer": {"batch_size": 8, "epochs": 200, "validate_every": 25},
    },
    # the paper's clips and steps on 8 GB: two clips at a time, activations computed twice instead of kept
    "small-gpu": {
        "optimiser": {"accumulate": 4},
        "trainer": {"batch_size": 2, "precision": "bf16-mixed", "activation_checkpointing": True},
    },
}

# Settings that came after runs were first recorded with a digest of all of them.
LATER = (
    ("data", "more"), ("start", "take"), ("loss", "label_smoothing"), ("loss", "class_weights"),
    ("trainer", "patience"), ("trainer", "wandb"),
)  # fmt: skip


@strict
class MoreData:
    """A further data set: its name or YAML specification, its lists and its images, as in `DataSettings`."""

    dataset: str
    lists: str
    images: str


@strict
class DataSettings:
    """What is read.

    Attributes:
        dataset: 'bp4d', 'disfa', or a YAML specification of your own.
        lists: folder of list files; the default is what `mdhr prepare` calls it in its output folder.
        images: folder from which the paths in the lists start; likewise.
        clip_length: T, frames per clip.
        workers: processes that load clips; 0 for none.
        held_out: share of the training subjects that a second, inner run sets aside to choose the epoch and the
            thresholds on; 0 for no such run (only the last epoch at 0.5 is then honest).
        more: further data sets to train and test on together with the first. The model scores the AUs of all of them;
            an AU that a set lacks is unknown in its frames. Fold n is fold n of each.
    """

    dataset: str = "bp4d"
    lists: str = "list"
    images: str = "img"
    clip_length: Positive = 16
    workers: Annotated[int, Field(ge=0)] = 2
    held_out: BelowOne = 0.0
    more: tuple[MoreData, ...] = ()

    @property
    def each(self) -> tuple[MoreData, ...]:
        """All data sets, the first one first."""
        return MoreData(self.dataset, self.lists, self.images), *self.more


@strict
class StartSettings:
    """Where the weights start.

    Attributes:
        pretrained: ImageNet in the backbone; not with `folder`.
        folder: a model folder, or the name of a bundled model.
        take: what of it: 'all' weights, of a model that `model` and the data set describe; its 'backbone'; or all that
            is 'fitting': tensors of the same name and shape, and of what belongs to an AU, the AUs that both score.
    """

    pretrained: bool = True
    folder: str | None = None
    take: Literal["all", "backbone", "fitting"] = "all"


@strict
class LossSettings:
    """Changes to the paper's loss.

    Attributes:
        label_smoothing: s; a label y counts as (1 - s) y + s / 2.
        class_weights: 'paper' for w_n of eq. 10, from how rare an AU is; 'none' for 1; or a weight an AU, as in
            {AU04: 2.0}, by which the paper's is multiplied.
    """

    label_smoothing: BelowOne = 0.0
    class_weights: Literal["paper", "none"] | dict[str, AboveZero] = "paper"


@strict
class OptimiserSettings:
    """AdamW, its rate falling by a cosine from the first step to the last.

    Attributes:
        learning_rate, betas, weight_decay: of AdamW.
        rates: factor on the learning rate for parameters whose name starts so; the longest such start counts.
            {'encoder.backbone': 0.1} trains the backbone at a tenth.
        freeze: starts of names of parameters that stay as they are; their BatchNorm statistics too.
        freeze_norms: all BatchNorm layers use and keep the statistics they start with: for `start.folder`, since the
            head of a new model has none worth keeping.
        ema: decay of the running mean of the weights that is judged and saved; None for the weights themselves.
        clip_norm: largest norm of a step's gradient; None for any.
        accumulate: batches per step. Each batch's mean loss is divided by this number, however many of its labels are
            known, and also in an epoch's last step, which may have fewer batches and is then the smaller for it.
    """

    learning_rate: AboveZero = 1e-4
    betas: tuple[BelowOne, BelowOne] = (0.9, 0.999)
    weight_decay: Finite = 5e-4
    rates: dict[str, Finite] = field(default_factory=dict)
    freeze: tuple[str, ...] = ()
    freeze_norms: bool = False
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    clip_norm: Annotated[float, Field(gt=0)] | None = None
    accumulate: Positive = 1


@strict
class TrainerSettings:
    """How long, on what, and what is written on the way.

    Attributes:
        epochs: passes; each takes one random clip from every video.
        validate_every: epochs between two validations; the last epoch is always validated.
        patience: stop once so many validations in a row brought no better mean F1 on the held-out training subjects
            (`data.held_out`); None for never. The learning rate falls as if nothing stopped.
        batch_size: clips per batch, over all devices together.
        seed: of weights, clips, augmentation and order.
        devices: processes, one a GPU (or on the CPU, as 'gloo'); under torchrun its world size.
        accelerator: 'auto', 'cpu' or 'gpu'.
        precision: '32-true', 'bf16-mixed' or '16-mixed'.
        checkpoint_batches: batches between two checkpoints inside an epoch; None for one at each epoch's end.
        activation_checkpointing: compute the backbone's activations again in the backward pass, to save memory.
        sync_norms: BatchNorm over all devices (GPUs only), as one device with the whole batch would.
        log_every: steps between two log entries.
        deterministic: only algorithms that give the same bits again, slower on a GPU; the CPU's do anyway.
        progress: show a progress bar.
        wandb: project of Weights & Biases to log to as well; needs the extra `wandb`.
    """

    epochs: Positive = 200
    validate_every: Positive = 25
    batch_size: Positive = 8
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    devices: Positive = 1
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    checkpoint_batches: Positive | None = None
    activation_checkpointing: bool = False
    sync_norms: bool = True
    log_every: Positive = 10
    deterministic: bool = False
    progress: bool = True
    patience: Positive | None = None
    wandb: str | None = None

    def __post_init__(self) -> None:
        if self.batch_size % self.devices:
            raise ConfigError(f"batch_size {self.batch_size} must be a multiple of devices {self.devices}")


@strict
class Settings:
    """All of a run. `model` holds fields of `ModelConfig`; the data set brings the label set."""

    data: DataSettings = field(default_factory=DataSettings)
    model: dict[str, Any] = field(default_factory=dict)
    start: StartSettings = field(default_factory=StartSettings)
    augmentation: dict[str, Any] = field(default_factory=dict)
    loss: LossSettings = field(default_factory=LossSettings)
    optimiser: OptimiserSettings = field(default_factory=OptimiserSettings)
    trainer: TrainerSettings = field(default_factory=TrainerSettings)

    def __post_init__(self) -> None:
        self.model_config(named_label_set("bp4d"))  # bad values are refused before any data is read
        every, accumulate = self.trainer.checkpoint_batches, self.optimiser.accumulate
        if every is not None and every % accumulate:
            raise ConfigError(
                f"trainer.checkpoint_batches {every} must be a multiple of optimiser.accumulate {accumulate}: "
                "gradients between two steps are not kept"
            )
        if self.trainer.patience is not None and not self.data.held_out:
            raise ConfigError(
                "trainer.patience needs data.held_out above 0: to stop by the test fold would be to choose on it"
            )

    def model_config(self, label_set: LabelSet) -> ModelConfig:
        """The architecture for the AUs of a data set."""
        values: dict[str, Any] = {key: tuple(x) if isinstance(x, list) else x for key, x in self.model.items()}
        try:
            return ModelConfig(label_set, **values)
        except ConfigError as error:
            raise ConfigError(f"model: {error}") from None

    def anywhere(self) -> Settings:
        """The same with absolute paths, so that a run can go on from any working folder; names stay names."""
        data, start = self.data, self.start
        more = tuple(dataclasses.replace(one, **_absolute(one)) for one in data.more)
        folder = start.folder if start.folder in (None, *BUNDLED) else str(Path(start.folder).absolute())
        return dataclasses.replace(
            self,
            data=dataclasses.replace(data, **_absolute(data), more=more),
            start=dataclasses.replace(start, folder=folder),
        )

    def portable(self) -> Settings:
        """The same with defaults for what changes no result: paths, workers, and what is shown."""
        kept = DataSettings()
        more = tuple(dataclasses.replace(one, dataset="", lists="", images="") for one in self.data.more)
        data = dataclasses.replace(
            self.data, dataset="", lists=kept.lists, images=kept.images, workers=kept.workers, more=more
        )
        return dataclasses.replace(
            self, data=data, trainer=dataclasses.replace(self.trainer, log_every=1, progress=True, wandb=None)
        )

    def to_yaml(self, brief: bool = False) -> str:
        """The whole run as `read_settings` reads it.

        Args:
            brief: without settings of `LATER` that are at their defaults, so that the text, and a digest of it, is the
                one that an earlier version wrote.
        """
        content = TypeAdapter(Settings).dump_python(self, mode="json")
        if brief:
            usual = TypeAdapter(Settings).dump_python(Settings(), mode="json")
            for section, name in LATER:
                if content[section].get(name) == usual[section][name]:
                    del content[section][name]
            content = {section: values for section, values in content.items() if values or section != "loss"}
        text: str = require("yaml", "train").safe_dump(content, sort_keys=False, default_flow_style=None)
        return text


def _absolute(data: DataSettings | MoreData) -> dict[str, Any]:
    """The paths of a data set from the root; its name stays one."""
    own = {".yaml", ".yml", ".json"} & {Path(data.dataset).suffix.lower()}
    names = ("lists", "images", *(["dataset"] if own else []))
    return {name: str(Path(getattr(data, name)).absolute()) for name in names}


def read_settings(path: str | Path | None = None, changes: Iterable[str] = ()) -> Settings:
    """Settings from a YAML file and `section.key=value` words, over the preset that the file names."""
    content = with_floats(read_mapping(Path(path))) if path is not None else {}
    preset = content.pop("preset", "paper")
    if not isinstance(preset, str) or preset not in PRESETS:
        raise ConfigError(f"unknown preset '{preset}'; known: {', '.join(PRESETS)}")
    merged = _merged(_merged(PRESETS["paper"], PRESETS[preset]), content)
    for change in changes:
        merged = _merged(merged, _change(change))
    return from_mapping(Settings, merged)


def _change(word: str) -> dict[str, Any]:
    """'trainer.epochs=3' -> {'trainer': {'epochs': 3}}."""
    name, equals, value = word.partition("=")
    if not equals or not name.strip("."):
        raise ConfigError(f"a setting is changed by section.key=value, as in trainer.epochs=50; got '{word}'")
    content: Any = parsed_value(value)
    section, dot, key = name.strip().partition(".")
    parts = [section, key] if dot else [section]
    if key.startswith("rates."):  # of `optimiser`; what follows is one key with dots of its own
        parts = [section, "rates", key.removeprefix("rates.")]
    for part in reversed(parts):
        content = {part: content}
    return content


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    both = {
        key: _merged(base[key], value) if isinstance(value, Mapping) and isinstance(base.get(key), Mapping) else value
        for key, value in over.items()
    }
    return {**base, **both}
