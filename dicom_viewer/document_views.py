"""Pages of reports, PDF documents and waveforms, made to stand in a frame of the viewer.

They run no script and load nothing but their style sheet: what a file says is text on them.
"""

from __future__ import annotations

from uuid import UUID

from csp.constants import NONE, SELF
from csp.decorators import csp
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_GET

from accounts.guards import actor_of
from accounts.preferences import zone_of
from archive import problems
from archive.errors import ArchiveError
from dicom_viewer import contents
from imaging import sopclass
from worklist.models import DicomImage

_POLICY = {
    "default-src": [NONE],
    "style-src": [SELF],
    "font-src": [SELF],
    "base-uri": [NONE],
    "form-action": [NONE],
    "frame-ancestors": [SELF],
}
# The browser's own PDF viewer, which lives in a process of its own, refuses to start in a sandbox.
_PDF_POLICY = {
    "default-src": [NONE],
    "object-src": [SELF],
    "style-src": ["'unsafe-inline'"],
    "frame-ancestors": [SELF],
}


@login_required
@require_GET
@never_cache
@gzip_page
@xframe_options_sameorigin
@csp(_POLICY)  # type: ignore[untyped-decorator] # the library is untyped
def document(request: HttpRequest, image_id: UUID) -> HttpResponse:
    """Show a report or a waveform; a PDF is shown as itself."""
    actor = actor_of(request)
    image = contents.open_document(actor, image_id, how="page")
    way = sopclass.reads_as(image.sop_class_uid)
    if way == "pdf":
        return redirect("dicom_viewer:document-pdf", image.pk)
    context = _context(request, image)
    try:
        if way == "waveform":
            context["sheet"] = contents.traces_of(image)
            return render(request, "dicom_viewer/waveform.html", context)
        report, lines = contents.report_of(actor, image)
        context |= {"report": report, "lines": lines}
        return render(request, "dicom_viewer/report.html", context)
    except ArchiveError as error:
        return _problem(request, error, context)


@login_required
@require_GET
@never_cache
@xframe_options_sameorigin
@csp(_PDF_POLICY)  # type: ignore[untyped-decorator] # the library is untyped
def document_pdf(request: HttpRequest, image_id: UUID) -> HttpResponse:
    """Answer with the PDF that an instance carries."""
    image = contents.open_document(actor_of(request), image_id, how="pdf")
    try:
        found = contents.pdf_of(image)
    except ArchiveError as error:
        return _problem(request, error, _context(request, image))
    disposition = "attachment" if "download" in request.GET else "inline"
    return HttpResponse(
        found.content,
        content_type=found.media_type,
        headers={
            "Content-Disposition": f'{disposition}; filename="{image.sop_instance_uid}.pdf"',
        },
    )


def _context(request: HttpRequest, image: DicomImage) -> dict[str, object]:
    return {
        "image": image,
        "series": image.series,
        "study": image.series.study,
        "zone": zone_of(request),
        "name": sopclass.class_name(image.sop_class_uid).removesuffix(" Storage"),
        "is_framed": "framed" in request.GET,
        "file_url": f"/api/v1/dicom/image/{image.pk}/file",
    }


def _problem(request: HttpRequest, error: ArchiveError, context: dict[str, object]) -> HttpResponse:
    """Say in the frame why nothing is shown; the site's own error page refuses to be framed."""
    problem = problems.problem_of(error)
    return render(
        request,
        "dicom_viewer/document_problem.html",
        {**context, "problem": problem},
        status=problem["status"],
    )
