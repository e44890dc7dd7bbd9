"""When a session is over: it ends where nobody is at the screen any more.

What a page does by itself (its socket, its looks at the server's state, pictures fetched ahead)
keeps no session alive. A person does: by opening a page, and by every key, click and turn of the
wheel, of which the page tells the server at most once a minute (`views.here`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, MutableMapping
from typing import Any

from django.conf import settings
from django.contrib.auth import SESSION_KEY, user_logged_in
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils.deprecation import MiddlewareMixin

_SEEN = "accounts.seen"
# Sessions are written no more often.
_NOTED_EVERY_S = 60.0


def is_over(session: Mapping[str, Any], now: float | None = None) -> bool:
    """Whether nobody has used a session for as long as the site allows.

    Parameters
    ----------
    session : what is kept of it
    now : seconds since the epoch, if not the present
    """
    seen = session.get(_SEEN)
    if not isinstance(seen, float):
        return False
    return (time.time() if now is None else now) - seen > settings.IDLE_S


def note_use(session: MutableMapping[str, Any]) -> None:
    """Say that a person uses the session now."""
    now = time.time()
    if now - session.get(_SEEN, 0.0) > _NOTED_EVERY_S:
        session[_SEEN] = now


@receiver(user_logged_in)
def _begin(request: HttpRequest | None, **_more: object) -> None:
    if request is not None:
        request.session[_SEEN] = time.time()


class IdleSessions(MiddlewareMixin):
    """Middleware behind that of sessions: ends those that are over, notes who is still there."""

    def process_request(self, request: HttpRequest) -> None:
        """Look at the session before anybody believes it."""
        session = request.session
        if SESSION_KEY not in session:
            return
        if is_over(session):
            session.flush()
        elif _opens_a_page(request):
            note_use(session)


def _opens_a_page(request: HttpRequest) -> bool:
    # Browsers say which request opens a page (Fetch Metadata); who says nothing is no script.
    return request.headers.get("Sec-Fetch-Mode", "navigate") == "navigate"
