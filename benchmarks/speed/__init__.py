"""How fast models and whole videos are."""
