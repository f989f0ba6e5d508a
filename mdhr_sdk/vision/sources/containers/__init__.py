"""What the formats of files need, each in its own way: which track is shown, what is missing, and where parts begin."""
