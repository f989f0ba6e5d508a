"""Benchmarks are run as a person does."""

from commands import command

__all__ = ["command"]
