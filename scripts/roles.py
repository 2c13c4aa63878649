"""Writes the roles under stack/kubernetes from the tables of rights.

python -m scripts.roles
"""

from __future__ import annotations

from pathlib import Path

from harness import role_files

ROOT = Path(__file__).resolve().parents[1]


def write() -> None:
    """One file for what every run needs, one a kind, and one for load from inside."""
    (ROOT / role_files.ROLES).mkdir(exist_ok=True)
    for path, text in role_files.texts().items():
        (ROOT / path).write_text(text)


if __name__ == "__main__":
    write()
