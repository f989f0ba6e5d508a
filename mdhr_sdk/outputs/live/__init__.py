"""Outputs that run for days: files that only grow, network readers, recordings; none of them ever holds up scoring."""
