"""Fitting of intensities on rendered people, of whom they are known exactly."""
