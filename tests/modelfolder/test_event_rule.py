"""The rule for events in `config.json`."""

from __future__ import annotations

import json

import pytest

from mdhr_sdk.aus import label_set
from mdhr_sdk.errors import ConfigError
from mdhr_sdk.modelfolder.config import EventRule, FolderConfig, ModelConfig

BP4D = label_set("bp4d")


def test_a_folder_that_says_nothing_of_events_has_the_defaults():
    content = json.loads(FolderConfig(ModelConfig(BP4D)).to_json())
    del content["events"]
    assert FolderConfig.from_json(json.dumps(content)).events == EventRule()
    content["events"] = {"low": 0.1}
    assert FolderConfig.from_json(json.dumps(content)).events == EventRule(low=0.1)


@pytest.mark.parametrize(
    ("events", "match"),
    [({"low": 1.5}, "events.low"), ({"gap_s": -1}, "events.gap_s"), ({"shortest": 1}, "did you mean 'shortest_s'")],
)
def test_a_bad_rule_for_events_is_one_line(events: dict[str, float], match: str):
    content = json.loads(FolderConfig(ModelConfig(BP4D)).to_json()) | {"events": events}
    with pytest.raises(ConfigError, match=match) as caught:
        FolderConfig.from_json(json.dumps(content))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("threshold", "levels"), [(0.5, (0.375, 0.75)), (0.0, (0.0, 0.5)), (1.0, (0.75, 1.0))])
def test_levels_follow_the_threshold(threshold: float, levels: tuple[float, float]):
    assert EventRule(high=0.5, low=0.25).levels(threshold) == levels
    assert EventRule(high=0.0, low=0.0).levels(threshold) == (threshold, threshold)
