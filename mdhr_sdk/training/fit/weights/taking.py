"""What one model can take of another: all of it, its backbone, or every tensor that fits.

What belongs to AUs is matched by AU and not by position: the fifth extractor of one label set is of another AU than the
fifth of another, although both have the same name and shape.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ....aus import RegionGroup, au_code
from ....errors import number_of
from ....model import MDHR
from ....modelfolder.config import ModelConfig

BACKBONE = "encoder.backbone."
BY_AU = ("head.score.reference", "head.temporal.")  # as many rows for each AU, in the order of the label set
GROUP = re.compile(r"head\.relations\.(extractors|heads|group_linears)\.(\d+)\.(.+)")
Tensors = Mapping[str, Tensor]
Rows = dict[str, tuple[Tensor, tuple[int, ...]]]  # name -> the tensor with the rows of these AUs replaced


@dataclass(frozen=True)
class Taken:
    """What a model starts with of another one.

    Attributes:
        whole: names of tensors that were taken as they are.
        parts: tensors of which the rows of some AUs were taken, and those AUs.
        new: names of tensors that start anew, but for counters.
    """

    whole: tuple[str, ...]
    parts: dict[str, tuple[int, ...]]
    new: tuple[str, ...]

    def told(self) -> str:
        """In a line: parts of the network with their numbers of tensors, and which AUs."""
        lines = [f"took {number_of(len(self.whole), 'tensor')} whole ({_counted(self.whole)})"]
        if self.parts:
            codes = " ".join(map(au_code, sorted({au for some in self.parts.values() for au in some})))
            lines.append(f"the rows of {codes} in {len(self.parts)} more ({_counted(self.parts)})")
        if self.new:
            lines.append(f"{number_of(len(self.new), 'tensor starts', 'tensors start')} anew ({_counted(self.new)})")
        return "; ".join(lines)

    def as_json(self) -> dict[str, Any]:
        parts = {name: [au_code(au) for au in aus] for name, aus in self.parts.items()}
        return {"whole": list(self.whole), "parts": parts, "new": list(self.new)}


def same_tensors(earlier: MDHR, model: MDHR, start: str = "") -> dict[str, Tensor]:
    """The earlier model's tensors whose name begins so, and whose name and shape are those of one of `model`."""
    theirs, ours = earlier.state_dict(), model.state_dict()
    return {
        name: theirs[name]
        for name, own in ours.items()
        if name.startswith(start) and name in theirs and theirs[name].shape == own.shape
    }


def fitting_tensors(earlier: MDHR, model: MDHR) -> tuple[dict[str, Tensor], Rows]:
    """All tensors of `earlier` that fit `model`: whole ones, and those of which the AUs that both score fit."""
    theirs = earlier.state_dict()
    whole = {name: tensor for name, tensor in same_tensors(earlier, model).items() if not _is_of_aus(name)}
    if earlier.config.backbone != model.config.backbone:  # the same names and shapes by chance
        whole = {name: tensor for name, tensor in whole.items() if not name.startswith(BACKBONE)}
    for name, source in _of_groups(earlier.config, model.config, model.state_dict()):
        if source in theirs and theirs[source].shape == model.state_dict()[name].shape:
            whole[name] = theirs[source]
    return whole, _rows(earlier, model)


@torch.no_grad()
def put(model: MDHR, whole: Tensors, rows: Rows) -> Taken:
    """Copy tensors into the model."""
    ours = model.state_dict()
    for name, tensor in whole.items():
        ours[name].copy_(tensor)
    for name, (tensor, _) in rows.items():
        ours[name].copy_(tensor)
    taken = {*whole, *rows}
    new = tuple(name for name in ours if name not in taken and not name.endswith("num_batches_tracked"))
    return Taken(tuple(whole), {name: aus for name, (_, aus) in rows.items()}, new)


def _is_of_aus(name: str) -> bool:
    return name.startswith(BY_AU) or GROUP.fullmatch(name) is not None


def _blocks(name: str, tensor: Tensor, config: ModelConfig) -> tuple[str, dict[int, Tensor]]:
    """A name that does not depend on the groups, and the rows of each AU; none for what AUs do not share out."""
    found = GROUP.fullmatch(name)
    if tensor.ndim == 0 or not (name.startswith(BY_AU) or (found and found[1] == "extractors")):
        return name, {}
    aus = config.layout.groups[int(found[2])].aus if found else config.label_set.aus
    common = f"extractors.{found[3]}" if found else name
    return common, dict(zip(aus, tensor.chunk(len(aus)), strict=True))


def _rows(earlier: MDHR, model: MDHR) -> Rows:
    known: dict[tuple[str, int], Tensor] = {}
    for name, tensor in earlier.state_dict().items():
        common, blocks = _blocks(name, tensor, earlier.config)
        known |= {(common, au): block for au, block in blocks.items()}
    found: Rows = {}
    for name, tensor in model.state_dict().items():
        common, blocks = _blocks(name, tensor, model.config)
        fits = {au: known[common, au] for au, own in blocks.items() if _fits(known.get((common, au)), own)}
        if fits:
            found[name] = torch.cat([fits.get(au, own) for au, own in blocks.items()]), tuple(fits)
    return found


def _fits(block: Tensor | None, own: Tensor) -> bool:
    return block is not None and block.shape == own.shape


def _of_groups(theirs: ModelConfig, ours: ModelConfig, names: Iterable[str]) -> Iterable[tuple[str, str]]:
    """Tensors of a whole group in the new model, and those of the earlier one that do the same.

    A region head needs a group of the very same AUs. The linear layer of a region is taken of the group there that
    shares most AUs.
    """
    for name in names:
        found = GROUP.fullmatch(name)
        if found is None or found[1] == "extractors":
            continue
        group = ours.layout.groups[int(found[2])]
        shared = [_shared(group, other) for other in theirs.layout.groups]
        place = shared.index(max(shared))
        same = theirs.layout.groups[place].aus == group.aus
        if max(shared) and (same or found[1] == "group_linears"):
            yield name, f"head.relations.{found[1]}.{place}.{found[3]}"


def _shared(group: RegionGroup, other: RegionGroup) -> int:
    """How many AUs two groups of one region share."""
    return len(set(group.aus) & set(other.aus)) if group.region == other.region else 0


def _counted(names: Iterable[str]) -> str:
    """'encoder.backbone 120, head.score 1': names by their first two parts."""
    counts: dict[str, int] = {}
    for name in names:
        part = ".".join(name.split(".")[:2])
        counts[part] = counts.get(part, 0) + 1
    return ", ".join(f"{part} {count}" for part, count in counts.items())
