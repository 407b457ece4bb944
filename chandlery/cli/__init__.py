"""The command line. ``main`` is its entry point; ``app`` the commands."""

from chandlery.cli.app import app, main

__all__ = ["app", "main"]
