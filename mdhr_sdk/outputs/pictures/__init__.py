"""Results as pictures: the overlay and its video, and the timeline with its heatmap."""
