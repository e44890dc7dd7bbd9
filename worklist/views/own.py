"""What a person sets up for their own worklist: views, columns, the facility they look at."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_POST

from accounts import preferences
from accounts.guards import user_of
from accounts.preferences import View
from archive.errors import ForbiddenError, InvalidInputError
from worklist.views import columns, listing
from worklist.views.bodies import json_object
from worklist.views.guards import actor_of, api_login_required


@api_login_required
@require_POST
def save_view(request: HttpRequest) -> HttpResponse:
    """Keep or remove a view: `{"name", "query"}` or `{"name", "remove": true}`."""
    body = json_object(request)
    user = user_of(request)
    name = str(body.get("name", ""))
    if body.get("remove") is True:
        preferences.remove_view(user, name)
    else:
        choices = listing.choices_of(actor_of(request).scope)
        found = listing.read(request, str(body.get("query", "")), choices)
        preferences.add_view(user, View(name, found.address))
    return JsonResponse({"views": [view.name for view in preferences.views_of(user)]})


@api_login_required
@require_POST
def save_columns(request: HttpRequest) -> HttpResponse:
    """Keep which columns are hidden: `{"hidden": ["accession"]}`."""
    hidden = json_object(request).get("hidden")
    if not isinstance(hidden, list) or not columns.OPTIONAL.issuperset(map(str, hidden)):
        raise InvalidInputError(f"'hidden' lists some of {', '.join(sorted(columns.OPTIONAL))}.")
    preferences.set_hidden_columns(user_of(request), [str(key) for key in hidden])
    return JsonResponse({"hidden": hidden})


@api_login_required
@require_POST
def switch_facility(request: HttpRequest) -> HttpResponse:
    """Look at one facility alone, or at all: `{"facility": "<uuid>"}` or `{"facility": ""}`."""
    text = str(json_object(request).get("facility", ""))
    chosen: UUID | None = None
    if text:
        try:
            chosen = UUID(text)
        except ValueError:
            raise InvalidInputError("'facility' is a facility's id, or empty for all.") from None
        if not actor_of(request).scope.includes(chosen):
            raise ForbiddenError("You are not a member of this facility.")
    preferences.set_facility(user_of(request), chosen)
    return JsonResponse({"facility": text})
