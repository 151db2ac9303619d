"""``python -m fastlogit``: the command line."""

from fastlogit.cli import main

main()
