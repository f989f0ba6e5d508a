"""Packaging lives in pyproject.toml; this file is the place of the compiled extension."""

from setuptools import setup

setup()
