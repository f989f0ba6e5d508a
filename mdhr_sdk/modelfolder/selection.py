"""Which of a model's AUs are reported, and from which probability each occurs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..arguments import is_number
from ..errors import ConfigError
from .config import FolderConfig

OFF_TIER = "C"


@dataclass(frozen=True)
class Selection:
    """AUs that are on. The others have no place in results at all: no score, no decision, no column.

    Attributes:
        thresholds: code -> probability from which the AU occurs, in the model's order.
        places: where these AUs stand among the model's N scores.
        off: codes of the AUs that are left out.
        intensities: codes of the AUs that are on and have an intensity.
    """

    thresholds: Mapping[str, float]
    places: tuple[int, ...]
    off: tuple[str, ...] = ()
    intensities: tuple[str, ...] = ()


def select(config: FolderConfig, thresholds: Mapping[str, float] | None = None, all_aus: bool = False) -> Selection:
    """Choose the AUs of a model: those of tiers A and B, those that were never rated, and with `all_aus` tier C too.

    Args:
        thresholds: code -> threshold in [0, 1], in place of the configuration's.

    Raises:
        ConfigError: a threshold outside [0, 1], or of an AU that is off or unknown; or no AU is left.
    """
    codes = config.model.label_set.codes
    off = {code for code, tier in config.tiers.items() if tier == OFF_TIER and not all_aus}
    places = tuple(place for place, code in enumerate(codes) if code not in off)
    if not places:
        raise ConfigError(f"all AUs of this model are of tier {OFF_TIER} and so off; {_remedy('them')}")
    own = {codes[place]: config.thresholds[place] for place in places}
    if not isinstance(thresholds or {}, Mapping):
        raise ConfigError(f"thresholds must be given by code, as {{'{codes[0]}': 0.4}}; got {thresholds!r}")
    for code, value in (thresholds or {}).items():
        if code in off:
            raise ConfigError(f"no threshold for '{code}', which is of tier {OFF_TIER} and so off; {_remedy('it')}")
        if code not in codes:
            raise ConfigError(f"no threshold for '{code}': this model scores {', '.join(own)}")
        if not is_number(value) or not 0 <= value <= 1:
            raise ConfigError(f"the threshold of {code} must lie in [0, 1]; got {value!r}")
    given = {code: float(value) for code, value in (thresholds or {}).items()}
    strong = tuple(codes[place] for place in places if config.intensity and config.intensity[place])
    return Selection(own | given, places, tuple(code for code in codes if code in off), strong)


def replaced(config: FolderConfig, thresholds: Mapping[str, float]) -> dict[str, float]:
    """Those of the thresholds, by code, that are not the model's own, in its order."""
    own = dict(zip(config.model.label_set.codes, config.thresholds, strict=True))
    return {code: thresholds[code] for code in own if code in thresholds and thresholds[code] != own[code]}


def _remedy(what: str) -> str:
    return f"turn {what} on with all_aus=True (mdhr detect --all-aus)"
