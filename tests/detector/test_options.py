"""Options that are given as words: an error says what was expected, and nothing is taken for yes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fake_streams import streaming
from fakes import FakeMesher
from mdhr_sdk import AUDetector, live_source
from mdhr_sdk.errors import BackendError, ConfigError

ARRAY = np.zeros((2, 64, 192, 3), np.uint8)


@pytest.fixture
def detector(meshers: list[FakeMesher]) -> AUDetector:
    return streaming()


@pytest.mark.parametrize("word", ["no", "true", 1, 0, None])
def test_a_word_is_neither_yes_nor_no(detector: AUDetector, word: object) -> None:
    calls: dict[str, list[Callable[..., Any]]] = {
        "reconnect": [detector.stream],
        "images": [detector.stream, detector.predict],
        "measures": [detector.stream, detector.predict],
        "stream": [detector.predict],
        "sequence": [detector.stream, detector.predict] if word is not None else [],
    }
    for name, functions in calls.items():
        for function in functions:
            with pytest.raises(ConfigError, match=f"^{name} must be True or False; got {word!r}$"):
                function(ARRAY, **{name: word})
    with pytest.raises(ConfigError, match=r"^realtime must be True or False"):
        live_source("film.mp4", realtime=word)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"^all_aus must be True or False"):
        AUDetector.from_pretrained("edge", all_aus=word)  # type: ignore[arg-type]
    assert len(detector.predict(ARRAY, images=np.bool_(True)).frames) == 2


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"give_up_after_s": "5"}, "give_up_after_s must be seconds above 0"),
        ({"give_up_after_s": True}, "give_up_after_s must be seconds above 0"),
        ({"min_quality": "0.5"}, r"min_quality must be in \[0, 1\]"),
        ({"min_quality": float("nan")}, r"min_quality must be in \[0, 1\]"),
        ({"calibrate_neutral_s": "2"}, "the neutral seconds must be a number"),
        ({"lookahead": "3"}, "lookahead must be an integer"),
        ({"scope": "every=2"}, "scope must be a Scope"),
    ],
)
def test_a_word_is_no_number(detector: AUDetector, options: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        detector.stream(ARRAY, **options)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"fps": "30"}, "fps must be above 0"),
        ({"size_px": 640}, "size must be a width and a height"),
        ({"size_px": ("640", "480")}, "size must be a width and a height"),
        ({"pixels": 5}, "pixels must be a text"),
        ({"timeout_s": "5"}, "timeout must be seconds"),
        ({"name": 5}, "the name of a source must be a text"),
    ],
)
def test_options_of_a_live_source_are_of_their_kinds(options: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        live_source(0, **options)


@pytest.mark.parametrize("threads", ["2", 0, True, 1.5])
def test_threads_are_a_whole_number(threads: object) -> None:
    with pytest.raises(BackendError, match="threads must be an integer of at least 1"):
        AUDetector.from_pretrained("edge", threads=threads)  # type: ignore[arg-type]
