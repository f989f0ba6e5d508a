"""Face meshes: one file an engine, behind `FaceMesher`."""
