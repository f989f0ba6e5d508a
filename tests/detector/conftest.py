"""A detector whose faces and scores are known beforehand; see `fakes`."""

from __future__ import annotations

import pytest

from fakes import CONFIG, INFO, FakeMesher, FakeSession
from mdhr_sdk import AUDetector


@pytest.fixture
def session() -> FakeSession:
    return FakeSession()


@pytest.fixture
def meshers(monkeypatch: pytest.MonkeyPatch) -> list[FakeMesher]:
    """Every face finder that detectors make."""
    monkeypatch.setattr(FakeMesher, "made", [])
    monkeypatch.setattr(FakeMesher, "_last", [])
    monkeypatch.setattr("mdhr_sdk.detector.FaceMesher", FakeMesher)
    return FakeMesher.made


@pytest.fixture
def detector(session: FakeSession, meshers: list[FakeMesher], no_cuts: None) -> AUDetector:
    return AUDetector(CONFIG, session, INFO)
