"""Programs that print the figures of the docs, by subject: `python -m benchmarks.FOLDER.NAME --help`."""
