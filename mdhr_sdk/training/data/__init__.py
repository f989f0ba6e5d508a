"""Data sets: labels, folds, lists, crops, and the clips to train on."""
