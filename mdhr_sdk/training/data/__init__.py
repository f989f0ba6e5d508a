"""Data sets: labels, folds, lists, crops and what a training sees of them."""
