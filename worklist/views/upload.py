"""The upload page, and the address that it and other programs send files to."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, BinaryIO, cast
from uuid import UUID

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from archive import access, facilities, problems, query, resumable, upload
from archive.access import Actor
from archive.errors import ForbiddenError, InvalidInputError
from archive.models import UploadState
from archive.query import StudyQuery
from archive.upload import UploadOutcome, UploadResult
from orders import intake
from worklist.templatetags.worklist_text import person_name
from worklist.views.guards import actor_of, api_login_required, problem_response

_TAKEN = {UploadOutcome.STORED, UploadOutcome.DUPLICATE}
_NOT_TAKEN = {UploadOutcome.REFUSED, UploadOutcome.CONFLICT}


@login_required
@require_GET
def upload_page(request: HttpRequest) -> HttpResponse:
    """Show the drop zone and the queue."""
    actor = actor_of(request)
    if not actor.can_upload:
        raise ForbiddenError("Your role does not allow uploads. Ask an administrator.")
    choices = list(facilities.listing(actor.scope).filter(is_active=True))
    if actor.is_administrator:
        own = access.site_facility()
        choices = [own, *(f for f in choices if f.pk != own.pk)]
    if not choices:
        raise ForbiddenError(
            "You belong to no facility, so nobody would own what you upload. "
            "Ask an administrator to add you to one."
        )
    return render(
        request,
        "worklist/upload.html",
        {
            "facilities": choices,
            "most_file_bytes": settings.MAX_INSTANCE_BYTES,
            "most_archive_bytes": settings.MAX_ARCHIVE_BYTES,
        },
    )


@api_login_required
@require_POST
def upload_file(request: HttpRequest) -> HttpResponse:
    """Take the files of a multipart form (`file`, any number) for one facility.

    Mixed results answer 200 and say what became of each. Where nothing at all was taken, the
    answer is a problem document with the status of the first refusal, and the results beside it.
    """
    actor = actor_of(request)
    if request.content_type != "multipart/form-data":
        return problem_response(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "Send a form of the type multipart/form-data with the files under the name 'file'.",
        )
    code = request.POST.get("facility") or request.GET.get("facility")
    facility = access.facility_for_upload(actor, code)
    files = [*request.FILES.getlist("file"), *request.FILES.getlist("files")]
    if not files:
        raise InvalidInputError("The form holds no file. Send files under the name 'file'.")
    # The browser's folder picker sends paths here; Django keeps the last part of a file's own name.
    names = request.POST.getlist("name")
    if len(names) != len(files):
        names = [file.name or "" for file in files]
    streams = [cast("BinaryIO", file.file) for file in files]
    of_files = upload.ingest_uploads(actor, facility, list(zip(names, streams, strict=True)))
    everything = list(itertools.chain.from_iterable(of_files))
    results = [_result(part, found) for part, its in enumerate(of_files) for found in its]
    document: dict[str, Any] = {
        "facility": {"code": facility.code, "name": facility.name},
        "summary": str(upload.summarise(everything)),
        "results": results,
        "studies": _studies(
            actor, {result.instance.study_id for result in everything if result.instance}
        ),
    }
    return _answer(document, everything)


@api_login_required
@require_GET
def upload_result(request: HttpRequest, upload_id: UUID) -> HttpResponse:
    """Say how far a resumable upload is; once it ended, in the words of :func:`upload_file`."""
    actor = actor_of(request)
    row = resumable.upload_for(actor, upload_id)
    document: dict[str, Any] = {"state": row.state, "results": [], "studies": []}
    if row.state in {UploadState.STORED, UploadState.FAILED}:
        files = row.result.get("results") or [
            {
                "filename": row.fields.get("filename", ""),
                "status": "failed",
                "detail": row.result.get("detail", ""),
            }
        ]
        document["results"] = [
            {
                "part": 0,
                "name": file["filename"],
                "outcome": intake.outcome_of(file["status"]).value,
                "reason": file.get("detail", ""),
            }
            for file in files
        ]
        document["studies"] = _studies(
            actor, {UUID(file["study_id"]) for file in files if "study_id" in file}
        )
    return JsonResponse(document)


def _answer(document: dict[str, Any], everything: Sequence[UploadResult]) -> JsonResponse:
    failures = [r for r in everything if r.outcome in _NOT_TAKEN and r.error is not None]
    if failures and not any(r.outcome in _TAKEN for r in everything):
        error = failures[0].error
        problem = dict(problems.problem_of(error)) if error is not None else {}
        problem["detail"] = f"{failures[0].name}: {failures[0].reason}"
        return JsonResponse(
            {**problem, **document},
            status=problem["status"],
            content_type=problems.CONTENT_TYPE,
        )
    return JsonResponse(document)


def _result(part: int, result: UploadResult) -> dict[str, Any]:
    instance = result.instance
    return {
        "part": part,
        "name": result.name,
        "outcome": result.outcome.value,
        "reason": result.reason,
        "study_id": str(instance.study_id) if instance else None,
        "image_id": str(instance.image_id) if instance else None,
        "StudyInstanceUID": instance.study_instance_uid if instance else None,
        "SeriesInstanceUID": instance.series_instance_uid if instance else None,
        "SOPInstanceUID": instance.sop_instance_uid if instance else None,
    }


def _studies(actor: Actor, ids: set[UUID]) -> list[dict[str, Any]]:
    """Describe the studies that files came in for, so that the page can lead there."""
    rows = query.filtered(actor.scope, StudyQuery()).filter(pk__in=ids).order_by("-sort_at")
    return [
        {
            "id": str(study.pk),
            "url": reverse("worklist:study-detail", args=[study.pk]),
            "viewer_url": reverse("dicom_viewer:viewer", args=[study.pk]),
            "patient": person_name(study.patient_name),
            "PatientName": study.patient_name,
            "PatientID": study.patient_identifier,
            "StudyDate": study.study_date.isoformat() if study.study_date else None,
            "StudyDescription": study.study_description,
            "ModalitiesInStudy": study.modality_codes,
            "instance_count": study.instance_count,
        }
        for study in rows
    ]
