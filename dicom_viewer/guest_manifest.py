"""What the viewer is told of a study where somebody looks at it by a link, without an account.

The pictures, the window presets of the site, and nothing that people of the site wrote: no drawings
and no reports, no other studies, no addresses of pages that are closed to them.
"""

from __future__ import annotations

from typing import Any

from django.urls import reverse

from archive.link_visits import Visitor
from dicom_viewer import manifest, services
from dicom_viewer.documents import preset_document
from dicom_viewer.hung import hung
from worklist.models import Study

Document = dict[str, Any]

_SHOWN = "image"


def build(visitor: Visitor, study: Study) -> Document:
    """Return the manifest of the study that a link opens."""
    actor = visitor.actor
    # Reports, other texts and files without pictures are not shown.
    series = [one for one in manifest.series_documents(study) if one["kind"] == _SHOWN]
    layout = hung(actor, study, series)
    return {
        "study": manifest.study_document(study) | {"status": None},
        "patient": manifest.patient_document(study),
        "series": series,
        "first_image": manifest.first_document(actor.scope, manifest.first_image(series, layout)),
        "presets": [preset_document(row) for row in services.presets_for(None)],
        "measurements": [],
        "user": {
            "id": "",
            "name": "Guest",
            "can_write": False,
            "can_report": False,
            "is_administrator": False,
        },
        "priors": [],
        "hanging": layout,
        "session": None,
        "guest": guest(visitor),
        "links": {
            "self": reverse("dicom_viewer:study", args=[study.pk]),
            "measurements": reverse("dicom_viewer:measurement-list", args=[study.pk]),
            "derived": reverse("dicom_viewer:derived", args=[study.pk]),
            "batch": "/api/v1/dicom/frames",
        },
    }


def guest(visitor: Visitor) -> Document:
    """Return what a page must know to end when the link does."""
    return {
        "shared_by": visitor.link.made_by_name,
        "ends_at": visitor.ends_at.isoformat(),
        "visit_url": reverse("sharing:visit"),
    }
