"""Backends behind one protocol. Importing this imports none of them."""

from .backends import BACKENDS
from .select import open_session, open_streams
from .session import Session, SessionOptions, TensorSpec

__all__ = ["BACKENDS", "Session", "SessionOptions", "TensorSpec", "open_session", "open_streams"]
