"""Cameras, streams, pipes and pipelines: read in a process of their own, and opened again when they break off."""
