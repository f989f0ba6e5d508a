"""How well AUs, brows, intensities, events and head pose are told."""
