"""Addresses for supervisors, load balancers and monitoring."""

from __future__ import annotations

import ipaddress
from http import HTTPStatus

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts.models import User
from archive.errors import ForbiddenError
from archive.problems import problem
from noctis_pro import readiness
from noctis_pro.middleware import answer

_FORWARDED = ("HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_X_REAL_IP")


@never_cache
@require_safe
def live(request: HttpRequest) -> HttpResponse:
    """Answer that this process runs; asks nobody else."""
    return JsonResponse({"status": "live"})


@never_cache
@require_safe
def ready(request: HttpRequest) -> HttpResponse:
    """Answer 200 once every process that the site needs serves, else 503 with what is missing."""
    checks = readiness.readiness()
    is_ready = all(check.ok for check in checks if check.is_vital)
    body = {
        "status": "ready" if is_ready else "not ready",
        "checks": [
            {"name": c.name, "ok": c.ok, "message": c.message, "remedy": c.remedy} for c in checks
        ],
    }
    return JsonResponse(body, status=HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE)


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Answer figures for Prometheus: to this machine, or to an administrator."""
    if not _comes_from_this_machine(request):
        user = request.user
        if not isinstance(user, User):
            detail = "Ask from this machine, or with the token of an administrator."
            refusal = answer(request, problem(HTTPStatus.UNAUTHORIZED, detail))
            refusal["WWW-Authenticate"] = "Bearer"
            return refusal
        if not user.is_administrator:
            raise ForbiddenError("Only administrators see the site's figures.")
    return HttpResponse(
        readiness.metrics(), content_type="text/plain; version=0.0.4; charset=utf-8"
    )


def _comes_from_this_machine(request: HttpRequest) -> bool:
    """Whether nobody stands between: a proxy on this machine calls from loopback, too."""
    if any(header in request.META for header in _FORWARDED):
        return False
    try:
        return ipaddress.ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False
