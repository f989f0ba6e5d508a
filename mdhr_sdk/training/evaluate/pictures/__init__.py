"""Models judged on labelled pictures: stills, and frames of videos, in which an AU is plainly there or plainly not."""
