"""Typed look-ups of variables; one that cannot be used is named, with what it should look like."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off", ""}
_AE_TITLE = re.compile(r"[ -\[\]-~]{1,16}")


class ConfigError(Exception):
    """A variable has a value that cannot be used; the message names it."""

    def __init__(self, name: str, value: str, expected: str) -> None:
        super().__init__(f"{name}={value!r} cannot be used: {expected}.")
        self.name = name


class Reader:
    """Typed look-ups in one mapping; `NAME_FILE` names a file that holds the value of a secret."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def text(self, *names: str, default: str = "") -> str:
        """Return the first of `names` that says something."""
        for name in names:
            value = self._environ.get(name)
            if value is not None and value.strip():
                return value.strip()
            path = self._environ.get(f"{name}_FILE")
            if path:
                try:
                    return Path(path).read_text(encoding="utf-8").strip()
                except OSError as error:
                    raise ConfigError(
                        f"{name}_FILE", path, f"the file cannot be read ({error.strerror})"
                    ) from error
        return default

    def flag(self, name: str, *, default: bool) -> bool:
        """Return whether a variable is switched on."""
        raw = self.text(name).lower()
        if not raw:
            return default
        if raw in _TRUE:
            return True
        if raw in _FALSE:
            return False
        raise ConfigError(name, raw, "write 1 or 0")

    def whole(self, *names: str, default: int, least: int, most: int) -> int:
        """Return a whole number within its limits."""
        raw = self.text(*names)
        if not raw:
            return default
        if not re.fullmatch(r"[0-9]{1,10}", raw) or not least <= int(raw) <= most:
            raise ConfigError(
                self._named(names), raw, f"write a whole number from {least} to {most}"
            )
        return int(raw)

    def port(self, *names: str, default: int) -> int:
        """Return the number of a TCP port."""
        return self.whole(*names, default=default, least=1, most=65535)

    def ae_title(self, *names: str, default: str) -> str:
        """Return an AE title (PS3.5 6.2)."""
        raw = self.text(*names, default=default)
        if not _AE_TITLE.fullmatch(raw):
            raise ConfigError(
                self._named(names),
                raw,
                "an AE title has 1 to 16 characters, no backslash (PS3.5 6.2)",
            )
        return raw

    def url(self, name: str, *, schemes: tuple[str, ...], default: str = "") -> str:
        """Return an address with one of `schemes`."""
        raw = self.text(name, default=default)
        if raw and urlsplit(raw).scheme not in schemes:
            raise ConfigError(name, raw, f"write a URL that starts with {schemes[0]}://")
        return raw

    def listing(self, name: str, *, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        """Return the parts between commas."""
        parts = tuple(part.strip() for part in self.text(name).split(",") if part.strip())
        return parts or default

    def file(self, name: str) -> Path | None:
        """Return a file that is there; None where none is named."""
        raw = self.text(name)
        if not raw:
            return None
        path = Path(raw).expanduser()
        if not path.is_file():
            raise ConfigError(name, raw, "there is no such file")
        return path

    def one_of(self, name: str, allowed: tuple[str, ...], *, default: str) -> str:
        """Return one of the words that are allowed."""
        found = self.text(name, default=default)
        if found not in (*allowed, default):
            raise ConfigError(name, found, f"write {', '.join(allowed[:-1])} or {allowed[-1]}")
        return found

    def _named(self, names: tuple[str, ...]) -> str:
        return next((name for name in names if self._environ.get(name)), names[0])
