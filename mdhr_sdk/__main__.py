"""`python -m mdhr_sdk` is the command `mdhr`."""

from .cli import main

main()
