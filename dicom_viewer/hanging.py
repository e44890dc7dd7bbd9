"""Hanging protocols: a person's own and the site's, kept and exchanged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from archive import access, audit
from archive.access import Actor
from archive.errors import ForbiddenError, NotFoundError, TooLargeError
from dicom_viewer import documents, services
from dicom_viewer.models import HangingProtocol
from imaging import built_in_layouts
from imaging.hanging import Links, Place, Protocol, Stage

if TYPE_CHECKING:
    from dicom_viewer.bodies import HangingBody, HangingSetBody, LikeThisBody, StageBody

MOST_PROTOCOLS = 200
# Before all others of a person: what somebody just asked for is what they get.
_ASKED_PRIORITY = 10


def protocols_for(user_id: UUID | None) -> list[HangingProtocol]:
    """Return the person's own protocols, then the site's, each in the order they are tried."""
    rows = HangingProtocol.objects.filter(Q(user=None) | Q(user=user_id))
    return sorted(rows, key=lambda row: (row.user_id is None, row.priority, row.name))


def active_protocols(user_id: UUID | None) -> list[HangingProtocol]:
    """Return the protocols that are tried for a person, the one that was changed last first."""
    rows = HangingProtocol.objects.filter(Q(user=None) | Q(user=user_id), is_active=True)
    return list(rows.order_by("-updated_at"))


def create_protocol(actor: Actor, body: HangingBody) -> HangingProtocol:
    """Keep a protocol: the person's own, or the site's by an administrator.

    Raises
    ------
    ForbiddenError, TooLargeError
    """
    return _create(actor, [body], is_site=body.is_site)[0]


def replace_protocol(actor: Actor, protocol_id: UUID, body: HangingBody) -> HangingProtocol:
    """Replace a protocol; whose it is stays.

    Raises
    ------
    NotFoundError, ForbiddenError
    """
    with transaction.atomic():
        row = _mine(actor, protocol_id)
        _fill(row, body)
        row.save()
        audit.record(actor, "hanging.save", row)
    return row


def delete_protocol(actor: Actor, protocol_id: UUID) -> None:
    """Delete a protocol.

    Raises
    ------
    NotFoundError, ForbiddenError
    """
    with transaction.atomic():
        row = _mine(actor, protocol_id)
        audit.record(actor, "hanging.delete", row)
        row.delete()


def import_protocols(actor: Actor, body: HangingSetBody) -> list[HangingProtocol]:
    """Keep protocols that were exported elsewhere: all of them or none.

    Raises
    ------
    ForbiddenError, TooLargeError
    """
    return _create(actor, body.protocols, is_site=body.is_site)


def like_this(actor: Actor, study_id: UUID, body: LikeThisBody) -> HangingProtocol:
    """Keep a layout for studies like one: of its modality, body part and side.

    Raises
    ------
    NotFoundError, ForbiddenError, TooLargeError
    """
    from dicom_viewer.bodies import HangingBody as Made  # noqa: PLC0415 - loaded by the door

    study = access.study_for(actor.scope, study_id)
    sides = {row.laterality for row in study.series.all() if row.laterality in ("L", "R")}
    wanted = max((place.prior for stage in body.stages for place in stage.places), default=0)
    made = Made.model_validate(
        {
            "name": body.name,
            "priority": _ASKED_PRIORITY,
            "Modality": study.modality,
            "BodyPartExamined": study.body_part_examined,
            # Descriptions differ from scanner to scanner; they tell where nothing else does.
            "StudyDescription": "" if study.body_part_examined else study.study_description,
            "Laterality": sides.pop() if len(sides) == 1 else "",
            "priors": wanted,
            "stages": [stage.model_dump() for stage in body.stages],
        }
    )
    return create_protocol(actor, made)


def protocol_document(row: HangingProtocol) -> dict[str, Any]:
    """Return a protocol as JSON: what importing takes, and how it reads."""
    return documents.protocol_document(protocol_of(row), is_active=row.is_active)


def built_in_documents() -> list[dict[str, Any]]:
    """Return the protocols that every site has; nobody changes them."""
    return [documents.protocol_document(one) for one in built_in_layouts.PROTOCOLS]


def _create(actor: Actor, bodies: Sequence[HangingBody], *, is_site: bool) -> list[HangingProtocol]:
    if is_site and not actor.is_administrator:
        raise ForbiddenError("The site's layouts are an administrator's. Keep it as your own.")
    owner = None if is_site else services.user_of(actor)
    with transaction.atomic():
        if HangingProtocol.objects.filter(user=owner).count() + len(bodies) > MOST_PROTOCOLS:
            raise TooLargeError(f"At most {MOST_PROTOCOLS} hanging protocols are kept.")
        rows = []
        for body in bodies:
            row = HangingProtocol(user=owner)
            _fill(row, body)
            row.save(force_insert=True)
            audit.record(actor, "hanging.save", row)
            rows.append(row)
    return rows


def _mine(actor: Actor, protocol_id: UUID) -> HangingProtocol:
    row = HangingProtocol.objects.filter(pk=protocol_id).first()
    if row is None:
        raise NotFoundError("There is no such hanging protocol.")
    if row.user_id is None and not actor.is_administrator:
        raise ForbiddenError("This layout is the site's. An administrator can change it.")
    if row.user_id is not None and row.user_id != actor.user_id:
        raise ForbiddenError("This layout is somebody else's.")
    return row


def _fill(row: HangingProtocol, body: HangingBody) -> None:
    row.name = body.name
    row.priority = body.priority
    row.is_active = body.is_active
    row.modality = body.Modality
    row.body_part_examined = body.BodyPartExamined
    row.study_description = body.StudyDescription
    row.laterality = body.Laterality
    row.view_position = body.ViewPosition
    row.number_of_priors = body.priors
    first, *more = map(_stored, body.stages)
    row.rows, row.columns = first.pop("rows"), first.pop("columns")
    row.viewports = first.pop("viewports")
    row.first_stage = first
    row.more_stages = more


def _stored(stage: StageBody) -> dict[str, Any]:
    """Return a stage as it is kept."""
    found = stage.model_dump()
    return {**found, "viewports": found.pop("places")}


def _stages(row: HangingProtocol) -> list[dict[str, Any]]:
    first = {
        **row.first_stage,
        "rows": row.rows,
        "columns": row.columns,
        "viewports": row.viewports,
    }
    return [first, *row.more_stages]


def protocol_of(row: HangingProtocol) -> Protocol:
    """Return what is matched with studies."""
    return Protocol(
        key=str(row.pk),
        name=row.name,
        priority=row.priority,
        is_own=row.user_id is not None,
        modality=row.modality,
        body_part=row.body_part_examined,
        description=row.study_description,
        laterality=row.laterality,
        view=row.view_position,
        priors=row.number_of_priors,
        stages=tuple(map(_stage, _stages(row))),
    )


def _stage(found: dict[str, Any]) -> Stage:
    links = found.get("links")
    return Stage(
        rows=found["rows"],
        columns=found["columns"],
        name=str(found.get("name") or ""),
        places=tuple(map(_place, found.get("viewports", []))),
        fit=str(found.get("fit") or ""),
        links=Links(**links) if links else None,
        least=int(found.get("least") or 1),
    )


def _place(found: dict[str, Any]) -> Place:
    center, width = found.get("window_center"), found.get("window_width")
    return Place(
        prior=int(found.get("prior") or 0),
        modality=str(found.get("Modality") or ""),
        description=str(found.get("SeriesDescription") or ""),
        laterality=str(found.get("Laterality") or ""),
        view=str(found.get("ViewPosition") or ""),
        window=None if center is None or width is None else (float(center), float(width)),
        show=str(found.get("show") or ""),
    )
