"""``python -m chandlery``: the command line."""

from chandlery.cli import main

main()
