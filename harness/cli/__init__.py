"""The edge: arguments in, adapters wired, text out, exit code. Nothing else prints or exits."""

# ruff: noqa: PLC0415 - the parser of arguments takes longer to load than a recovery takes

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command; a plain `harness recover` loads only what heals."""
    if sys.argv[1:] == ["recover"]:
        from harness.cli.ending import end_with
        from harness.cli.healing import recover_all

        end_with(lambda: recover_all(None, "text"))
    from harness.cli import app

    app.main()
