"""Backends behind one protocol. Importing this imports none of them."""

from .base import Session, SessionOptions, TensorSpec
from .select import BACKENDS, open_session

__all__ = ["BACKENDS", "Session", "SessionOptions", "TensorSpec", "open_session"]
