"""One table: the action units of FACS, the face regions of the paper, and the label sets of the datasets.

A label set is all that makes a BP4D model different from a DISFA model. To add a dataset, add a row to
`LABEL_SETS`; no other file knows a dataset by name.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from .errors import ConfigError


@dataclass(frozen=True)
class ActionUnit:
    """One facial muscle movement of FACS (Ekman and Friesen)."""

    number: int
    name: str
    muscle: str

    @property
    def code(self) -> str:
        """Column and display name: AU01, AU12, ..."""
        return au_code(self.number)


def au_code(number: int) -> str:
    """12 -> 'AU12', 1 -> 'AU01': two digits, as OpenFace and py-feat write it."""
    return f"AU{number:02d}"


ACTION_UNITS: dict[int, ActionUnit] = {
    number: ActionUnit(number, name, muscle)
    for number, name, muscle in (
        (1, "inner brow raiser", "frontalis, pars medialis"),
        (2, "outer brow raiser", "frontalis, pars lateralis"),
        (4, "brow lowerer", "corrugator supercilii, depressor supercilii"),
        (5, "upper lid raiser", "levator palpebrae superioris"),
        (6, "cheek raiser", "orbicularis oculi, pars orbitalis"),
        (7, "lid tightener", "orbicularis oculi, pars palpebralis"),
        (9, "nose wrinkler", "levator labii superioris alaeque nasi"),
        (10, "upper lip raiser", "levator labii superioris"),
        (11, "nasolabial deepener", "zygomaticus minor"),
        (12, "lip corner puller", "zygomaticus major"),
        (14, "dimpler", "buccinator"),
        (15, "lip corner depressor", "depressor anguli oris"),
        (16, "lower lip depressor", "depressor labii inferioris"),
        (17, "chin raiser", "mentalis"),
        (18, "lip pucker", "incisivii labii"),
        (20, "lip stretcher", "risorius"),
        (22, "lip funneler", "orbicularis oris"),
        (23, "lip tightener", "orbicularis oris"),
        (24, "lip pressor", "orbicularis oris"),
        (25, "lips part", "depressor labii inferioris, or relaxed mentalis"),
        (26, "jaw drop", "masseter relaxed"),
        (27, "mouth stretch", "pterygoids, digastric"),
        (28, "lip suck", "orbicularis oris"),
        (43, "eyes closed", "levator palpebrae superioris relaxed"),
        (45, "blink", "orbicularis oculi, levator palpebrae superioris relaxed"),
    )
}

# Eq. 7: a region is a slice of the feature map's rows, in sevenths of its height; neighbours overlap.
REGIONS: dict[str, tuple[int, int]] = {"up": (0, 3), "mid": (2, 5), "low": (4, 7)}
ROWS = 7


@dataclass(frozen=True)
class RegionGroup:
    """AUs whose joint occurrence one region head predicts, as one of 2**n combinations."""

    name: str
    region: str
    aus: tuple[int, ...]

    @property
    def combinations(self) -> tuple[tuple[int, ...], ...]:
        """Occurrences (0 or 1) of the group's AUs for each class; the first AU is the most significant bit."""
        return tuple(itertools.product((0, 1), repeat=len(self.aus)))


@dataclass(frozen=True)
class RegionLayout:
    """How the AUs are grouped, and whether a group first transforms its region's tokens (own linear layer)."""

    groups: tuple[RegionGroup, ...]
    group_linear: bool = False


@dataclass(frozen=True)
class LabelSet:
    """The AUs a model scores, in output order, and their regions.

    `layout` is the released code's; `paper_layout` the three regions of the paper where that differs.
    """

    name: str
    aus: tuple[int, ...]
    layout: RegionLayout
    paper_layout: RegionLayout | None = None

    def __post_init__(self) -> None:
        unknown = [au for au in self.aus if au not in ACTION_UNITS]
        if unknown:
            raise ConfigError(f"label set '{self.name}': AUs {unknown} are not in the table of aus.py; add them there")
        for layout in (self.layout, self.paper_layout or self.layout):
            if not self.aus or not all(group.aus for group in layout.groups):
                raise ConfigError(f"label set '{self.name}': it and each of its region groups need at least one AU")
            grouped = sorted(au for group in layout.groups for au in group.aus)
            if grouped != sorted(set(self.aus)) or len(self.aus) != len(set(self.aus)):
                raise ConfigError(
                    f"label set '{self.name}': every AU of {list(self.aus)} must stand in exactly one region group, "
                    f"but the groups hold {grouped}"
                )
            for group in layout.groups:
                if group.region not in REGIONS:
                    raise ConfigError(f"group '{group.name}': region '{group.region}' is none of {list(REGIONS)}")

    @property
    def codes(self) -> tuple[str, ...]:
        """('AU01', 'AU02', ...) in output order."""
        return tuple(au_code(au) for au in self.aus)


def _paper(up: tuple[int, ...], mid: tuple[int, ...], low: tuple[int, ...]) -> RegionLayout:
    rows = zip(("up", "mid", "low"), (up, mid, low), strict=True)
    return RegionLayout(tuple(RegionGroup(name, name, aus) for name, aus in rows))


LABEL_SETS: dict[str, LabelSet] = {
    "bp4d": LabelSet(
        name="bp4d",
        aus=(1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24),
        layout=RegionLayout(
            groups=(
                RegionGroup("up", "up", (1, 2, 4, 7)),
                RegionGroup("mid", "mid", (6,)),
                RegionGroup("low-a", "low", (12, 14, 15)),
                RegionGroup("low-b", "low", (10, 17, 23, 24)),
            ),
            group_linear=True,
        ),
        paper_layout=_paper(up=(1, 2, 4, 7), mid=(6,), low=(10, 12, 14, 15, 17, 23, 24)),
    ),
    "disfa": LabelSet(
        name="disfa",
        aus=(1, 2, 4, 6, 9, 12, 25, 26),
        layout=_paper(up=(1, 2, 4), mid=(6, 9), low=(12, 25, 26)),
    ),
    # What synthetic faces show (mdhr_sdk/synthetic); the lower face in two groups, as for BP4D.
    "synthetic": LabelSet(
        name="synthetic",
        aus=(1, 2, 4, 6, 7, 9, 10, 12, 14, 15, 17, 23, 24, 25, 26),
        layout=RegionLayout(
            groups=(
                RegionGroup("up", "up", (1, 2, 4, 7)),
                RegionGroup("mid", "mid", (6, 9)),
                RegionGroup("low-a", "low", (10, 12, 14, 15)),
                RegionGroup("low-b", "low", (17, 23, 24, 25, 26)),
            ),
            group_linear=True,
        ),
        paper_layout=_paper(up=(1, 2, 4, 7), mid=(6, 9), low=(10, 12, 14, 15, 17, 23, 24, 25, 26)),
    ),
}


def label_set(name: str) -> LabelSet:
    """The label set called `name`.

    Raises:
        ConfigError: there is none of that name.
    """
    try:
        return LABEL_SETS[name]
    except KeyError:
        raise ConfigError(f"unknown label set '{name}'; known: {', '.join(LABEL_SETS)}") from None
