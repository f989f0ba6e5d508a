"""Many files: studies, workers and clusters."""
