"""Notification pages, and the addresses that scripts of other pages ask."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.guards import api_login_required, user_of
from accounts.preferences import zone_of
from archive.errors import InvalidInputError
from notifications import services
from notifications.documents import notification_document
from notifications.models import Kind

_PER_PAGE = 50
_API_PER_PAGE = 20


@login_required
@require_GET
@never_cache
def notification_list(request: HttpRequest) -> HttpResponse:
    """Show a person's notifications, newest first; `part=notices` is what an open page renews."""
    user = user_of(request)
    is_unread = request.GET.get("state") == "unread"
    page = services.listing(
        user, is_unread=is_unread, limit=_PER_PAGE, cursor=request.GET.get("cursor", "")
    )
    is_part = request.GET.get("part") == "notices"
    return render(
        request,
        "notifications/_notices.html" if is_part else "notifications/list.html",
        {
            "page": page,
            "zone": zone_of(request),
            "is_unread": is_unread,
            "is_first_page": not request.GET.get("cursor"),
            "unread": services.unread_count(user.pk),
        },
    )


@login_required
@require_POST
def notification_open(request: HttpRequest, notification_id: UUID) -> HttpResponse:
    """Mark one read and go where it leads."""
    row = services.mark_read(user_of(request), notification_id)
    # The address is ours, but a row is data: it may lead nowhere but to this site.
    if row.url and url_has_allowed_host_and_scheme(row.url, allowed_hosts=None):
        return redirect(row.url)
    return redirect("notifications:notification-list")


@login_required
@require_POST
def notification_read_all(request: HttpRequest) -> HttpResponse:
    """Mark everything read."""
    services.mark_all_read(user_of(request))
    return redirect("notifications:notification-list")


@login_required
@require_http_methods(["GET", "POST"])
@never_cache
def preference_edit(request: HttpRequest) -> HttpResponse:
    """Show and keep what a person wants to be told of."""
    user = user_of(request)
    choices = services.choices_of(user)
    if request.method == "POST":
        wanted = set(request.POST.getlist("kind"))
        unknown = wanted.difference(Kind.values)
        if unknown:
            raise InvalidInputError("The form names a kind of notification that does not exist.")
        services.choose(user, {choice.kind: choice.kind in wanted for choice in choices})
        messages.success(request, gettext("Your choice is kept."))
        return redirect("notifications:preference-edit")
    return render(request, "notifications/preferences.html", {"choices": choices})


@api_login_required
@require_GET
@never_cache
def api_unread_count(request: HttpRequest) -> HttpResponse:
    """Answer how many are unread."""
    return JsonResponse({"unread": services.unread_count(user_of(request).pk)})


@api_login_required
@require_GET
@never_cache
def api_list(request: HttpRequest) -> HttpResponse:
    """Answer a page of notifications."""
    user = user_of(request)
    state = request.GET.get("state", "all")
    if state not in {"all", "unread"}:
        raise InvalidInputError("'state' is all or unread.")
    limit = request.GET.get("limit", str(_API_PER_PAGE))
    if not (limit.isascii() and limit.isdigit() and len(limit) <= 3):
        raise InvalidInputError(f"'limit' is a number from 1 to {services.MOST_PER_PAGE}.")
    page = services.listing(
        user,
        is_unread=state == "unread",
        limit=int(limit),
        cursor=request.GET.get("cursor", ""),
    )
    return JsonResponse(
        {
            "items": [notification_document(row) for row in page.items],
            "cursor": page.cursor,
            "unread": services.unread_count(user.pk),
        }
    )


@api_login_required
@require_POST
def api_read(request: HttpRequest, notification_id: UUID) -> HttpResponse:
    """Mark one read."""
    user = user_of(request)
    services.mark_read(user, notification_id)
    return JsonResponse({"unread": services.unread_count(user.pk)})


@api_login_required
@require_POST
def api_read_all(request: HttpRequest) -> HttpResponse:
    """Mark everything read."""
    user = user_of(request)
    services.mark_all_read(user)
    return JsonResponse({"unread": services.unread_count(user.pk)})
