"""One picture: triangles, surfaces, light, and what lies before the face."""
