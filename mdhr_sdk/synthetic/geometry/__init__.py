"""Training of the small network that reads the geometry of face meshes, on rendered people."""
