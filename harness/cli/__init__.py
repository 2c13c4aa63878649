"""The edge: arguments in, adapters wired, text out, exit code. Nothing else prints or exits."""

from harness.cli.app import main

__all__ = ["main"]
