"""The state of the site: alerts, disks, queues, backups; for administrators."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from accounts import preferences
from archive import health_page
from worklist.views.guards import administrator_of


@login_required
@require_safe
def site_health(request: HttpRequest) -> HttpResponse:
    """Show how the site is, and what somebody has to do."""
    context = {
        "health": health_page.health(administrator_of(request)),
        "growth_days": health_page.GROWTH_DAYS,
        "zone": preferences.zone_of(request),
    }
    return render(request, "worklist/site_health.html", context)
