"""Results in the tables of other tools, and read back from our own."""
