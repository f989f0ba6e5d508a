"""Evaluation: scores, intervals, comparisons, figures."""
