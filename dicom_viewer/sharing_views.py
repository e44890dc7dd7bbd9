"""Sharing a study by a link, looking after one's links, and opening one: thin doors."""

from __future__ import annotations

from http import HTTPStatus
from uuid import UUID

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from pydantic import Field

from accounts import guests, preferences, throttle
from accounts.guards import actor_of, address_of, problem_response
from archive import access, link_visits, links, problems
from archive.access import Actor
from archive.errors import ConflictError, ForbiddenError, InvalidInputError
from archive.link_visits import PinNeededError, WrongPinError
from archive.models import LinkPurpose, SharedLink
from dicom_viewer import sharing
from dicom_viewer.bodies import Body, parse

# Texts that are no links are counted by address, as wrong passwords are.
_NO_LINK = "\0a shared link"


class OpenBody(Body):
    """A link and, where somebody was asked for it, its PIN."""

    link: str = Field(max_length=1024)
    pin: str = Field(default="", max_length=64)


@require_GET
@never_cache
def landing(request: HttpRequest) -> HttpResponse:
    """Show the page that exchanges what stands behind its address's `#`."""
    return guests.dress(render(request, "sharing/open.html"))


# The page's own script sends this, from within other sites' frames too, where browsers hold back
# the cookie that CSRF tokens are compared with: the origin, which browsers always tell, decides.
@csrf_exempt
@require_POST
@never_cache
def exchange(request: HttpRequest) -> HttpResponse:
    """Exchange a link and its PIN for a visit, and answer where it goes on."""
    _check_origin(request)
    body = parse(OpenBody, request.body)
    address = address_of(request)
    throttle.count_attempt(_NO_LINK, address)
    link = links.link_of(body.link)
    throttle.forgive(_NO_LINK, address)
    if request.user.is_authenticated:
        _check_sees(actor_of(request), link)
        return JsonResponse({"url": sharing.opened_at(link)})
    agent = request.headers.get("User-Agent", "")
    try:
        visit = link_visits.begin(body.link, body.pin, address=address, agent=agent)
    except (PinNeededError, WrongPinError) as error:
        problem = {**problems.problem_of(error), "needs_pin": True}
        return guests.dress(
            JsonResponse(problem, status=HTTPStatus.FORBIDDEN, content_type=problems.CONTENT_TYPE)
        )
    response = guests.dress(JsonResponse({"url": sharing.opened_at(link)}))
    guests.keep_visit(request, response, visit)
    return response


def _check_origin(request: HttpRequest) -> None:
    own = f"{request.scheme}://{request.get_host()}"
    if request.headers.get("Origin") not in {own, *settings.CSRF_TRUSTED_ORIGINS}:
        raise ForbiddenError("The request came from another site. Open the link itself.")


def _check_sees(actor: Actor, link: SharedLink) -> None:
    try:
        access.study_for(actor.scope, link.study_id)
    except ForbiddenError as error:
        raise ConflictError(
            "You are signed in, and this study is another facility's. Sign out, or open the link "
            "in a private window."
        ) from error


@require_GET
@never_cache
def visit(request: HttpRequest) -> HttpResponse:
    """Answer until when this browser's visit is good."""
    visitor = guests.visitor_of(request)
    if visitor is None:
        return problem_response(HTTPStatus.UNAUTHORIZED, "There is no visit. Open the link again.")
    return JsonResponse({"ends_at": visitor.ends_at.isoformat()})


@login_required
@require_http_methods(["GET", "POST"])
@never_cache
def share(request: HttpRequest, study_id: UUID) -> HttpResponse:
    """Show how a study can be shared, or make a link to it and show that."""
    actor = actor_of(request)
    study = access.study_for(actor.scope, study_id)
    if not actor.can_share:
        raise ForbiddenError("Your role does not share studies. Ask an administrator.")
    failure = ""
    typed = {"pin": sharing.new_pin()}
    if request.method == "POST":
        typed = {name: str(value) for name, value in request.POST.items()}
        try:
            draft = sharing.draft_of(typed)
            issued = links.share(actor, study_id, draft)
        except InvalidInputError as error:
            failure = str(error)
        else:
            return _link_page(request, actor, issued.link, pin=draft.pin, is_new=True)
    context = {
        "study": study,
        "typed": typed,
        "failure": failure,
        "purposes": sharing.purposes(),
        "times": sharing.times(),
        "views": sharing.views(),
        "actor": actor,
        "is_off": not settings.RADIOLOGY_SIGNED_URLS,
        "lines": sharing.lines(actor, study=study, most=20),
        "zone": preferences.zone_of(request),
    }
    status = HTTPStatus.UNPROCESSABLE_ENTITY if failure else HTTPStatus.OK
    return render(request, "sharing/share.html", context, status=status)


@login_required
@require_GET
@never_cache
def link_list(request: HttpRequest) -> HttpResponse:
    """Show the links that this person made; to an administrator, everybody's."""
    actor = actor_of(request)
    context = {
        "lines": sharing.lines(actor),
        "is_administrator": actor.is_administrator,
        "zone": preferences.zone_of(request),
    }
    return render(request, "sharing/link_list.html", context)


@login_required
@require_GET
@never_cache
def link_detail(request: HttpRequest, link_id: UUID) -> HttpResponse:
    """Show one link, and who used it when and from where."""
    actor = actor_of(request)
    return _link_page(request, actor, links.link_for(actor, link_id))


def _link_page(
    request: HttpRequest, actor: Actor, link: SharedLink, *, pin: str = "", is_new: bool = False
) -> HttpResponse:
    ended = sharing.ended_words(link)
    # Administrators look after links; only who made one hands it on.
    is_own = link.made_by_id == actor.user_id
    address = sharing.address_of(request, link) if is_own and not ended else ""
    context = {
        "link": link,
        "study": link.study,
        "purpose": LinkPurpose(link.purpose).label,
        "ended": ended,
        "address": address,
        "picture": sharing.picture_of(address) if address else "",
        "pin": pin,
        "is_new": is_new,
        "uses": links.uses_of(link),
        "zone": preferences.zone_of(request),
    }
    return render(request, "sharing/link_detail.html", context)


@login_required
@require_POST
def revoke(request: HttpRequest, link_id: UUID) -> HttpResponse:
    """End a link now."""
    actor = actor_of(request)
    links.revoke(actor, links.link_for(actor, link_id))
    return redirect("sharing:link-detail", link_id=link_id)
