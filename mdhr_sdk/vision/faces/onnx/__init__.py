"""Faces by graphs that were converted from MediaPipe's networks, on the user's machine."""
