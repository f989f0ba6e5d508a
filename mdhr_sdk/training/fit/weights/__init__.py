"""Weights of models there are: what a run starts with, and the mean of two."""
