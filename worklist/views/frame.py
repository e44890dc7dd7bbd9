"""The frame around each page: where one can go, whose studies are shown, what scripts need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext

from accounts import preferences
from accounts.guards import user_of
from accounts.models import User
from archive import access
from worklist.models import Facility
from worklist.views import listing


@dataclass(frozen=True, slots=True)
class Entry:
    """A page that one can go to from anywhere."""

    name: str
    url: str
    is_current: bool


@dataclass(frozen=True, slots=True)
class Frame:
    """What the top bar, the menus and the command palette show."""

    pages: list[Entry]
    facilities: list[Facility]
    facility: Facility | None
    initials: str
    config: dict[str, Any]


def frame_of(request: HttpRequest) -> Frame:
    """Return the frame for the signed-in person; two queries."""
    user = user_of(request)
    choices = listing.choices_of(access.scope_of(user))
    current = preferences.facility_of(user)
    pages = _pages(user)
    return Frame(
        pages=[
            Entry(name, url, is_current=request.path.startswith(url)) for name, url in pages.items()
        ],
        facilities=choices,
        facility=next((facility for facility in choices if facility.pk == current), None),
        initials=_initials(user),
        config={
            "user": {"id": str(user.pk), "name": str(user), "can_read": user.can_read},
            "pages": [
                *({"name": name, "url": url} for name, url in pages.items()),
                {
                    "name": gettext("Notifications"),
                    "url": reverse("notifications:notification-list"),
                },
                {"name": gettext("Layouts of the viewer"), "url": reverse("dicom_viewer:layouts")},
                {"name": gettext("Images shown"), "url": reverse("dicom_viewer:shown-list")},
                *_sharing(user),
                {"name": gettext("Profile and password"), "url": reverse("accounts:profile")},
                *_handing_in(user),
                *_administration(user),
            ],
            "facilities": [
                {"id": str(facility.pk), "name": facility.name, "code": facility.code}
                for facility in choices
            ],
            "facility": str(current) if current else "",
            "urls": {
                "studies": reverse("worklist:study-list"),
                "rows": reverse("worklist:study-rows"),
                "status": reverse("worklist:study-status"),
                "destinations": reverse("worklist:study-destinations"),
                "send": reverse("worklist:studies-send"),
                "views": reverse("worklist:view-save"),
                "columns": reverse("worklist:column-save"),
                "facility": reverse("worklist:facility-switch"),
                "counts": reverse("worklist:count-list"),
                "state": reverse("worklist:state"),
                "find": reverse("worklist:find"),
                "theme": reverse("accounts:theme"),
                "sign_in": reverse("accounts:login"),
                "events": "/ws/events/",
            },
        },
    )


def _pages(user: User) -> dict[str, str]:
    pages = {
        gettext("Worklist"): reverse("worklist:study-list"),
        gettext("Orders"): reverse("orders:order-list"),
        gettext("Tasks"): reverse("tasks:task-list"),
    }
    if user.can_upload:
        pages[gettext("Upload")] = reverse("worklist:upload")
    pages[gettext("Facilities")] = reverse("worklist:facility-list")
    pages[gettext("Forwarding")] = reverse("worklist:forwarding-queue")
    return pages


def _handing_in(user: User) -> list[dict[str, str]]:
    if not user.can_upload:
        return []
    return [{"name": gettext("Offline upload"), "url": reverse("offline:page")}]


def _sharing(user: User) -> list[dict[str, str]]:
    if not user.can_share:
        return []
    return [{"name": "Shared links", "url": reverse("sharing:link-list")}]


def _administration(user: User) -> list[dict[str, str]]:
    if not user.is_administrator:
        return []
    return [
        {"name": gettext("Forwarding rules"), "url": reverse("worklist:forwarding-rules")},
        {"name": gettext("Analyses"), "url": reverse("worklist:analysis-queue")},
        {"name": gettext("Analysis services"), "url": reverse("worklist:analysis-services")},
        {"name": gettext("Callers that were refused"), "url": reverse("worklist:knock-list")},
        {"name": gettext("Conflicts"), "url": reverse("worklist:conflict-list")},
        {"name": gettext("Deletions"), "url": reverse("worklist:deletion-list")},
        {"name": gettext("Health"), "url": reverse("worklist:site-health")},
        {"name": gettext("Audit trail"), "url": reverse("worklist:trail-list")},
        {"name": gettext("Patients that are one person"), "url": reverse("worklist:patient-links")},
        {"name": gettext("Administration"), "url": reverse("admin:index")},
    ]


def _initials(user: User) -> str:
    words = user.get_full_name().split() or [user.username]
    return "".join(word[0] for word in words[:2]).upper()
