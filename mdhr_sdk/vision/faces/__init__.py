"""Face meshes from MediaPipe: one file an engine behind `FaceMesher`."""
