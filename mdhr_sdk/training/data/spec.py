"""What describes a data set: its AUs, its folds, and how its files are named."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from ...aus import LabelSet
from ...errors import ConfigError

Part = Literal["train", "test"]
Kind = Literal["paths", "label", "sub_label", "weight", "intensity"]
FIELDS = {"subject": r"[^/.][^/]*?", "task": r"[^/.][^/]*?", "frame": "[0-9]+", "au": "[0-9]+"}


class FrameName(NamedTuple):
    """What the path of a crop tells: `task` is '' where a subject has one video."""

    subject: str
    task: str
    frame: int


@dataclass(frozen=True)
class RawLayout:
    """How a distribution keeps labels and pictures, as paths below its folder with '{subject}' and '{task}' in them.

    Attributes:
        labels: one table per video: header row, then frame number and one value per AU; a column's name is the AU's
            number, also as 'AU01'; other columns are ignored. With '{au}' in the path one file per AU, no header, and
            lines `frame,value`. A '*' stands for any text inside one folder's or file's name.
        pictures: the first that exists: a folder of images, whose names end in the number that the label files give to
            the frame; or a video, where '.*' stands for any suffix.
        first_frame: number that the label files give to the first frame of a video file.
        list_offset: what is added to a number of the label files to name the crop.
        positive_from: least value that counts as occurrence.
        highest: greatest value there is.
        unknown: the value of an AU that was not coded, above `highest` or below 0; None if there is none.
        numbered: whether rows begin with the frame's number; else they are the frames from `first_frame` on.
        spans: for coding by onset and offset, the path of one CSV table with a row an expression (see `spans.py`); then
            `labels` is not read, and only says by which names people and videos go.
        fps: frames a second of pictures in a folder.
    """

    labels: str
    pictures: tuple[str, ...]
    first_frame: int = 0
    list_offset: int = 0
    positive_from: int = 1
    highest: int = 1
    unknown: int | None = 9
    numbered: bool = True
    spans: str = ""
    fps: float = 25.0


@dataclass(frozen=True)
class DatasetSpec:
    """A data set.

    Attributes:
        label_set: its AUs, in the order of the label files' columns.
        folds: test subjects of folds 1, 2, ..., in the order of the lists.
        crop: a crop's path below the image folder, with '{subject}', '{frame}' and, if there are several videos a
            subject, '{task}'.
        raw: the distribution it is prepared from.
        prefix: what the list files' names begin with.
        paths: what the lists of paths are called.
    """

    label_set: LabelSet
    folds: tuple[tuple[str, ...], ...]
    crop: str
    raw: RawLayout
    prefix: str
    paths: str

    def __post_init__(self) -> None:
        check(bool(self.folds) and all(self.folds), "folds: at least one, and each with at least one test subject")
        check(all(len(set(fold)) == len(fold) for fold in self.folds), "folds: a subject once in each")
        for extra, *patterns in (("frame", self.crop), ("au", self.raw.labels), ("", *self.raw.pictures)):
            check(bool(patterns), "at least one place of pictures")
            for pattern in patterns:
                names, plain = set(fields(pattern)), re.sub(r"\{\w*\}", "", pattern)
                check(not re.search(r"[{}]", plain), f"plain {{names}} in '{pattern}'")
                inside = Path(pattern).is_relative_to(".") and ".." not in Path(pattern).parts
                check(inside, f"a path inside; got '{pattern}'")
                check("subject" in names, f"'{{subject}}' in '{pattern}'")
                check(names <= {"subject", "task", extra}, f"no names but subject, task {extra} in '{pattern}'")
                tasks = "task" in fields(self.raw.labels)
                check(("task" in names) == tasks, f"'{{task}}' in all paths or in none; got '{pattern}'")
        unknown, highest = self.raw.unknown, self.raw.highest
        apart = unknown is None or unknown > highest or unknown < 0
        check(
            apart and highest >= self.raw.positive_from,
            f"positive_from <= highest < unknown, or unknown < 0; got {self.raw}",
        )
        check(self.raw.fps > 0, f"raw.fps above 0; got {self.raw.fps}")
        check("frame" in fields(self.crop), f"'{{frame}}' in crop '{self.crop}'")
        check(Path(self.crop).suffix in (".jpg", ".png"), f"crop to end in .jpg or .png; got '{self.crop}'")
        check(bool(re.fullmatch(r"[\w-]+", self.prefix) and re.fullmatch(r"\w+", self.paths)), "plain list names")

    @property
    def name(self) -> str:
        """That of the label set: 'bp4d', 'disfa', or one's own."""
        return self.label_set.name

    @property
    def has_intensities(self) -> bool:
        """Whether the label files say how strongly an AU shows, and not only whether."""
        return self.raw.highest > 1

    def list_file(self, part: Part, kind: Kind, fold: int) -> str:
        """As in 'BP4D_train_sub_label_fold1.txt'."""
        return f"{self.prefix}_{part}_{self.paths if kind == 'paths' else kind}_fold{fold}.txt"

    def crop_path(self, name: FrameName) -> str:
        """As in 'F001/T1/2440.jpg'."""
        return self.crop.format(**name._asdict())

    @property
    def subjects(self) -> tuple[str, ...]:
        """All test subjects, in the order of the field's lists: the last fold first."""
        return tuple(dict.fromkeys(subject for fold in reversed(self.folds) for subject in fold))

    def parse(self, path: str) -> FrameName | None:
        """What a crop's path says; None for a path of another form."""
        found = pattern_of(self.crop).fullmatch(path)
        if found is None:
            return None
        names = found.groupdict()
        return FrameName(names["subject"], names.get("task", ""), int(names["frame"]))

    def test_subjects(self, fold: int) -> tuple[str, ...]:
        """In the order of the lists."""
        if not 1 <= fold <= len(self.folds):
            raise ConfigError(f"{self.name} has folds 1 to {len(self.folds)}; got {fold}")
        return self.folds[fold - 1]

    def train_subjects(self, fold: int, found: Iterable[str]) -> tuple[str, ...]:
        """Those of `found` that fold `fold` does not test, in the order of the lists."""
        here = set(found) - set(self.test_subjects(fold))
        return (*(subject for subject in self.subjects if subject in here), *sorted(here - set(self.subjects)))


def fields(pattern: str) -> list[str]:
    """Names in braces, in order."""
    return re.findall(r"\{(\w*)\}", pattern)


@functools.cache
def pattern_of(pattern: str) -> re.Pattern[str]:
    """A path with fields as a regular expression; a repeated field must match the same text."""
    seen: set[str] = set()
    parts = []
    for i, part in enumerate(re.split(r"\{(\w+)\}", pattern)):
        if i % 2 == 0:
            parts.append(re.escape(part).replace(r"\*", "[^/]*"))
        else:
            parts.append(f"(?P={part})" if part in seen else f"(?P<{part}>{FIELDS[part]})")
            seen.add(part)
    return re.compile("".join(parts))


def check(ok: bool, expected: str) -> None:
    """Raise a `ConfigError` that says what was expected."""
    if not ok:
        raise ConfigError(f"expected {expected}")
