"""One table of the data sets: their AUs, how their files are named, and who is tested in which fold.

A data set of your own is a YAML or JSON file. For a folder with `videos/anna_smile.mp4`, ... and, for each video, a
table `labels/anna_smile.csv` whose first column is the frame number (0 for the first frame) and whose other columns
are AUs, as in `frame,AU01,AU02,AU12` or `frame,1,2,12`, with 0, 1 or 9 (unknown) in every row:

    name: mylab
    aus: [1, 2, 4, 6, 12, 25]          # rising
    folds: [[anna, ben], [chris]]      # test subjects of each fold; all others are always trained on
    raw:
      labels: "labels/{subject}_{task}.csv"
      pictures: ["videos/{subject}_{task}.mp4"]

Then `mdhr prepare mylab.yaml --raw FOLDER --out OUT`. All further keys are the attributes of `OwnDataset` and
`RawLayout`.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from ...aus import REGIONS, LabelSet, RegionGroup, RegionLayout, label_set
from ...errors import ConfigError, number_of, require
from ...modelfolder.strict import from_mapping, strict
from ..fit.yaml_file import read_mapping
from .raw import found_subjects
from .spec import DatasetSpec, FrameName, RawLayout, check, fields

__all__ = ["DATASETS", "DatasetSpec", "FrameName", "OwnDataset", "RawLayout", "dataset"]

UPPER, MIDDLE = (1, 2, 4, 5, 7, 43, 45), (6, 9)  # AUs of the upper and middle face; all others are below
MAX_GROUP = 8


def _folds(text: str) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(line.split()) for line in text.strip().splitlines())


BP4D_FOLDS = _folds("""
F007 F015 F006 F019 M006 M009 F012 M003 F004 F021 F017 M015 F014
M011 F003 M010 M002 F005 F022 M018 M017 F013 M016 F020 F011 M013 M005
F001 M007 F018 F008 F002 M004 F010 F009 M012 M001 F016 M014 F023 M008
""")
DISFA_FOLDS = _folds("""
SN003 SN029 SN023 SN025 SN008 SN005 SN007 SN017 SN004
SN013 SN018 SN011 SN028 SN012 SN006 SN031 SN021 SN024
SN002 SN010 SN001 SN026 SN027 SN032 SN030 SN009 SN016
""")
BP4D_RAW = RawLayout(
    "AUCoding/AU_OCC/{subject}_{task}.csv",
    ("2D+3D/{subject}/{task}", "2D+3D/{subject}/{task}.*", "2D+3D/{subject}_{task}.*"),
    first_frame=1,
)
DISFA_RAW = RawLayout(
    "ActionUnit_Labels/{subject}/{subject}_au{au}.txt", ("Video_LeftCamera/LeftVideo{subject}_comp.*",),
    first_frame=1, list_offset=-1, positive_from=2, highest=5,
)  # fmt: skip
BP4D_CROP, DISFA_CROP = "{subject}/{task}/{frame}.jpg", "{subject}/{subject}_{frame}.png"
SPECS = Path(__file__).parent / "specs"
DATASETS: dict[str, DatasetSpec] = {
    "bp4d": DatasetSpec(label_set("bp4d"), BP4D_FOLDS, BP4D_CROP, BP4D_RAW, prefix="BP4D", paths="img_path"),
    "disfa": DatasetSpec(label_set("disfa"), DISFA_FOLDS, DISFA_CROP, DISFA_RAW, prefix="DISFA", paths="path"),
}


@strict
class OwnDataset:
    """The keys of a data set's YAML or JSON file.

    Attributes:
        name: of the label set, and of the list files unless `prefix` is given.
        aus: FACS numbers, rising; or the name of a label set of `mdhr_sdk.aus`, whose groups are then meant.
        folds: test subjects of each fold; quote names that are numbers. Where they follow from who is there: a number
            of folds, to which people are dealt in turn; 'each' for a fold a person; or the path of the label files of
            those whom the one fold tests. `mdhr prepare` then writes a description that names them.
        raw: where labels and pictures are, see `RawLayout`.
        groups: AUs whose combinations a region head predicts, each with a region 'up', 'mid' or 'low'; without them
            one group per region (AUs 1, 2, 4, 5, 7, 43, 45 up, 6 and 9 mid, all others low).
        crop, prefix, paths: see `DatasetSpec`.
    """

    name: str
    aus: tuple[int, ...] | str
    folds: tuple[tuple[str, ...], ...] | int | str
    raw: RawLayout
    groups: tuple[RegionGroup, ...] = ()
    crop: str = ""
    prefix: str = ""
    paths: str = "path"

    def spec(self, raw: Path | None = None) -> DatasetSpec:
        """The data set, checked.

        Args:
            raw: the distribution's folder, where folds follow from who is there.

        Raises:
            ConfigError: names the key that is wrong.
            DataError: `raw` has no labels where the description says.
        """
        task = "{task}/" if "task" in fields(self.raw.labels) else ""
        return DatasetSpec(
            self._label_set(),
            self._folds(raw),
            self.crop or f"{{subject}}/{task}{{frame}}.jpg",
            self.raw,
            self.prefix or self.name,
            self.paths,
        )

    def _folds(self, raw: Path | None) -> tuple[tuple[str, ...], ...]:
        """Test subjects of each fold."""
        if not isinstance(self.folds, int | str):
            return self.folds
        if raw is None:
            raise ConfigError(
                f"the folds of '{self.name}' follow from who is there (folds: {self.folds}); name the dataset.yaml "
                "that mdhr prepare wrote beside its lists"
            )
        if isinstance(self.folds, str) and self.folds != "each":
            return (found_subjects(dataclasses.replace(self.raw, labels=self.folds), raw),)
        people = found_subjects(self.raw, raw)
        number = len(people) if self.folds == "each" else int(self.folds)
        check(
            2 <= number <= len(people),
            f"at least 2 folds, and a person or more for each; got folds: {self.folds}, and "
            f"{number_of(len(people), 'person', 'people')} in '{raw}'",
        )
        return tuple(people[first::number] for first in range(number))

    def _label_set(self) -> LabelSet:
        if isinstance(self.aus, str):
            return label_set(self.aus)
        check(list(self.aus) == sorted(set(self.aus)), f"rising AUs, each once; got {list(self.aus)}")
        groups = self.groups or _default_groups(self.aus)
        check(all(len(g.aus) <= MAX_GROUP for g in groups), f"groups of at most {MAX_GROUP} AUs; give 'groups'")
        return LabelSet(self.name, self.aus, RegionLayout(groups))


def _default_groups(aus: tuple[int, ...]) -> tuple[RegionGroup, ...]:
    homes = {au: "up" if au in UPPER else "mid" if au in MIDDLE else "low" for au in aus}
    members = {region: tuple(au for au in aus if homes[au] == region) for region in REGIONS}
    return tuple(RegionGroup(region, region, members[region]) for region in REGIONS if members[region])


def described() -> dict[str, Path]:
    """Data sets that come with the package as descriptions, by name."""
    return {path.stem: path for path in sorted(SPECS.glob("*.yaml"))}


def dataset(name: str | Path, raw: Path | None = None) -> DatasetSpec:
    """The data set called `name`, or the one described by the YAML or JSON file `name`.

    Args:
        raw: the distribution's folder, where its folds follow from who is there.
    """
    if str(name) in DATASETS:
        return DATASETS[str(name)]
    path = described().get(str(name), Path(name))
    if path.suffix.lower() not in (".yaml", ".yml", ".json"):
        known = ", ".join((*DATASETS, *described()))
        raise ConfigError(f"unknown data set '{name}'; known: {known}, or the path of a .yaml or .json")
    content = read_mapping(path)
    try:
        return from_mapping(OwnDataset, content).spec(raw)
    except ConfigError as error:
        remedy = "; names that look like numbers want quotes" if "valid string" in str(error) else ""
        raise ConfigError(f"'{path}': {error}{remedy}") from None


def with_folds(name: str | Path, spec: DatasetSpec) -> str | None:
    """The description called `name` with its folds named as in `spec`; None where they are, or for no description."""
    path = described().get(str(name), Path(name))
    content = read_mapping(path) if path.is_file() else {}
    if not isinstance(content.get("folds"), int | str):
        return None
    named = {**content, "folds": [list(fold) for fold in spec.folds]}
    text: str = require("yaml", "train").safe_dump(named, sort_keys=False, default_flow_style=None)
    return text
