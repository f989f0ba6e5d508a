"""The command `mdhr`."""
