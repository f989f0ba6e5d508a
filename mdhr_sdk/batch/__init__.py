"""Many files: what is done with one, by whom, and what is kept of it."""
