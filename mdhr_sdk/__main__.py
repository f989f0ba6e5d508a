"""`python -m mdhr_sdk` is the command `mdhr`."""

from .cli.app import main

main()
