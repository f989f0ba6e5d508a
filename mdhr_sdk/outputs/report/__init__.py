"""A report of results: one page a source, and an index of a study; self-contained HTML."""
