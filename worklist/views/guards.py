"""What stands before a view of the worklist; signing in itself is the business of `accounts`."""

from __future__ import annotations

from django.http import HttpRequest

from accounts.guards import actor_of, api_login_required, problem_response
from archive.access import Actor
from archive.errors import ForbiddenError

__all__ = ["actor_of", "administrator_of", "api_login_required", "problem_response"]


def administrator_of(request: HttpRequest) -> Actor:
    """Return the actor, who must be an administrator."""
    actor = actor_of(request)
    if not actor.is_administrator:
        raise ForbiddenError("This is for administrators. Ask one of them.")
    return actor
