"""Videos from file to action units, measured as a whole: `python benchmarks/latency.py --end-to-end`."""
