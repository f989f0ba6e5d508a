"""Commands that read pictures into results."""
