"""What a person set up for themselves: theme, language, facility, own views, hidden columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.conf import settings
from django.http import HttpRequest

from accounts.models import User
from archive.errors import InvalidInputError

THEMES = ("dark", "light", "auto")
THEME_COOKIE = "noctis_theme"
ZONE_COOKIE = "noctis_zone"
MOST_VIEWS = 20
_LONGEST_NAME = 40
_LONGEST_QUERY = 1000


@dataclass(frozen=True, slots=True)
class View:
    """A list that somebody wants to come back to: its name and its address."""

    name: str
    query: str


def theme_of(request: HttpRequest) -> str:
    """Return the theme of the page, which this browser keeps; dark at first.

    The database is not asked: the page that says it is down has a theme too.
    """
    chosen = request.COOKIES.get(THEME_COOKIE, "")
    return chosen if chosen in THEMES else "dark"


def zone_of(request: HttpRequest) -> ZoneInfo:
    """Return the reader's time zone, which their browser told; UTC until it did."""
    name = request.COOKIES.get(ZONE_COOKIE, "").replace("%2F", "/")
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


def facility_of(user: User) -> UUID | None:
    """Return the facility that the person switched to; None means all of theirs."""
    try:
        return UUID(str(user.preferences.get("facility", "")))
    except ValueError:
        return None


def views_of(user: User) -> list[View]:
    """Return the person's own views."""
    kept = user.preferences.get("views", [])
    return [View(str(entry["name"]), str(entry["query"])) for entry in kept]


def set_theme(user: User, theme: str) -> None:
    """Keep the theme for every browser of this person."""
    if theme not in THEMES:
        raise InvalidInputError(f"'theme' is one of {', '.join(THEMES)}.")
    _keep(user, {"theme": theme})


def set_language(user: User, language: str) -> None:
    """Keep the language of the pages for every browser of this person."""
    known = [code for code, _ in settings.LANGUAGES]
    if language not in known:
        raise InvalidInputError(f"'language' is one of {', '.join(known)}.")
    _keep(user, {"language": language})


def set_facility(user: User, facility_id: UUID | None) -> None:
    """Switch to one facility, or to all of them."""
    _keep(user, {"facility": str(facility_id) if facility_id else ""})


def set_hidden_columns(user: User, columns: Sequence[str]) -> None:
    """Keep which columns of the worklist are hidden."""
    _keep(user, {"hidden_columns": sorted(set(columns))})


def hidden_columns_of(user: User) -> list[str]:
    """Return the columns of the worklist that the person does not want to see."""
    return [str(name) for name in user.preferences.get("hidden_columns", [])]


def add_view(user: User, view: View) -> None:
    """Keep a view; one of the same name is replaced."""
    name = " ".join(view.name.split())
    if not name or len(name) > _LONGEST_NAME:
        raise InvalidInputError(f"A view's name has 1 to {_LONGEST_NAME} characters.")
    if len(view.query) > _LONGEST_QUERY:
        raise InvalidInputError("This view has too many filters to be kept.")
    others = [kept for kept in views_of(user) if kept.name != name]
    if len(others) >= MOST_VIEWS:
        raise InvalidInputError(f"{MOST_VIEWS} views are the most. Remove one first.")
    _keep(user, {"views": [asdict(kept) for kept in (*others, View(name, view.query))]})


def remove_view(user: User, name: str) -> None:
    """Forget a view; harmless when there is none."""
    _keep(user, {"views": [asdict(kept) for kept in views_of(user) if kept.name != name]})


def shortcuts_of(user: User) -> dict[str, list[str]]:
    """Return the viewer's keys that the person chose otherwise, by command."""
    kept = user.preferences.get("shortcuts", {})
    return {str(name): [str(key) for key in keys] for name, keys in kept.items()}


def set_shortcuts(user: User, shortcuts: Mapping[str, Sequence[str]]) -> None:
    """Keep the viewer's keys for every browser of this person; none: the product's own."""
    _keep(user, {"shortcuts": {name: list(keys) for name, keys in shortcuts.items()}})


def _keep(user: User, changes: Mapping[str, Any]) -> None:
    user.preferences = {**user.preferences, **changes}
    user.save(update_fields=["preferences"])
