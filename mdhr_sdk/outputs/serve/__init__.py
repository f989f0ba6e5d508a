"""The served page: live results in a browser, and the same as JSON and metrics for other programs."""

from .commands import Calibrate, Command, Mark
from .sink import ServeSink

__all__ = ["Calibrate", "Command", "Mark", "ServeSink"]
