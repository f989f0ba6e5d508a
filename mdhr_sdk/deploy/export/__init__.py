"""Graphs that run without the model's code, made from a folder's weights."""
