"""What the commands of `mdhr` do; `cli.py` says how they are called. Nothing here is imported for `--help`."""
