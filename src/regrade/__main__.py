"""`python -m regrade` is the `regrade` command."""

from regrade.cli import main

main()
