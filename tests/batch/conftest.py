"""What the tests of many files share."""

from __future__ import annotations

from commands import command

__all__ = ["command"]
