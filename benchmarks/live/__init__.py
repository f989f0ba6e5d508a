"""Live sources: delay, faults, endings, days of running, and the served page."""
