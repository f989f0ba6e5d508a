"""Faces by the MediaPipe package: its bundled models, or a `face_landmarker.task` file."""
