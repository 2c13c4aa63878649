"""Settings from the environment; a wrong one stops the service before it listens."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass

from services.defects import parse_defects


class SettingError(ValueError):
    """An environment variable has a value that cannot be used."""


@dataclass(frozen=True)
class Settings:
    """Reads typed values out of an environment.

    Args:
        environment: Names and values, normally ``os.environ``.
    """

    environment: Mapping[str, str]

    @classmethod
    def from_environment(cls) -> Settings:
        """The settings of this process."""
        return cls(os.environ)

    def text(self, name: str) -> str:
        """A value that must be there.

        Raises:
            SettingError: It is missing or empty.
        """
        value = self.environment.get(name, "")
        if not value:
            raise SettingError(f"{name} must be set.")
        return value

    def optional(self, name: str) -> str:
        """A value that may be missing, and is empty then."""
        return self.environment.get(name, "")

    def number(self, name: str, default: float, minimum: float = 0.0) -> float:
        """A finite number, ``minimum`` or more.

        Raises:
            SettingError: Not such a number.
        """
        raw = self.environment.get(name, "")
        try:
            value = float(raw) if raw else default
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or value < minimum:
            raise SettingError(f"{name} is {raw!r}; it must be a number, {minimum:g} or more.")
        return value

    def port(self) -> int:
        """``PORT``, 1 to 65535.

        Raises:
            SettingError: Missing or not a port.
        """
        value = self.number("PORT", 0)
        if value != int(value) or not 1 <= value <= 65535:
            raise SettingError(f"PORT is {value:g}; it must be a whole number from 1 to 65535.")
        return int(value)

    def host(self) -> str:
        """``HOST``, the address to listen on: loopback unless a container says otherwise."""
        return self.optional("HOST") or "127.0.0.1"

    def defects(self) -> frozenset[str]:
        """The planted defects.

        Raises:
            SettingError: A name is not in the table.
        """
        try:
            return parse_defects(self.environment.get("DEFECTS", ""))
        except ValueError as error:
            raise SettingError(str(error)) from error
