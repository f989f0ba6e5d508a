"""Exact streaming: every frame is encoded once."""
