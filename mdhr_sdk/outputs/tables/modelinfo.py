"""The model of a table that is read back: from the text that its rows carry, or from what a file's metadata tell."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from ...errors import InputError
from ...results import ModelInfo

MOST_LETTERS = 4096  # looking for the notes in a text takes a time that grows with its square
_NOTES = (
    r"(?P<untrained>untrained)|trained on (?P<trained_on>.+?)",
    r"stream, lookahead (?P<lookahead>\d+)",
    r"relative to the first (?P<neutral_s>\S+) s",
    r"smoothed from (?P<smooth_hz>\S+) Hz",
    r"(?P<replaced>AU\d\d from [^;)]+)",
    r"reliability (?P<tiers>.+)",
)
_WHOLE = re.compile(
    r"(?:(?P<name>.+?): )?(?P<label_set>\S+) (?P<backbone>\S+)(?: \("
    + "".join(f"(?:(?:; )?(?:{note}))?" for note in _NOTES)
    + r"\))?"
)


def model_of_text(text: str) -> ModelInfo:
    """The model that `ModelInfo.details` or `ModelInfo.tag` told; where it ran is not known.

    Raises:
        InputError: the text is of another kind.
    """
    found = _WHOLE.fullmatch(text) if len(text) <= MOST_LETTERS else None
    if found is not None:
        tiers, off = _tiers(found["tiers"] or "")
        replaced = [one.split(" from ") for one in (found["replaced"] or "").split(", ") if one]
        info = ModelInfo(
            found["name"] or "", found["label_set"], found["backbone"], "", "", trained=not found["untrained"],
            trained_on=found["trained_on"] or "", tiers=tiers, off=off, neutral_s=float(found["neutral_s"] or 0),
            lookahead=int(found["lookahead"]) if found["lookahead"] else None, smooth_hz=float(found["smooth_hz"] or 0),
            replaced={code: float(value) for code, value in replaced},
        )  # fmt: skip
        if text in (info.details, info.tag):
            return info
    raise InputError(f"expected a model as our tables tell it; got '{text:.200}'; give a table that mdhr_sdk wrote")


def _tiers(text: str) -> tuple[dict[str, str], tuple[str, ...]]:
    """Code -> tier, and the codes that are off, whose own tiers are not told: they count as 'C'."""
    told = dict(one.split(": ") for one in text.split("; ")) if text else {}
    off = tuple(told.pop("off", "").split())
    tiers = {code: tier for tier, codes in told.items() for code in codes.split()}
    return {**tiers, **dict.fromkeys(off, "C")}, off


def model_of_values(values: Mapping[str, Any]) -> ModelInfo:
    """The model whose fields a file's metadata hold.

    Raises:
        InputError: fields are missing.
    """
    names = {one.name for one in fields(ModelInfo)}
    try:
        info = ModelInfo(**{name: value for name, value in values.items() if name in names})
        return replace(info, off=tuple(info.off), intensities=tuple(info.intensities))
    except TypeError as error:
        raise InputError(
            f"expected the fields of a model; got {sorted(values)}: {error}; write the file again"
        ) from None
