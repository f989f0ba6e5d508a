"""From raw scores to what is reported: geometry, smoothing, the neutral baseline, decisions and events."""
