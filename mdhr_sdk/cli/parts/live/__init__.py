"""The parts of `mdhr live`."""
