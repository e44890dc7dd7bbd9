"""Hanging protocols: a person's own and the site's, kept, exchanged, and matched with a study."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from archive import access, audit
from archive.access import Actor
from archive.errors import ForbiddenError, NotFoundError, TooLargeError
from archive.priors import Prior
from dicom_viewer import services
from dicom_viewer.models import HangingProtocol
from imaging.hanging import (
    HungSeries,
    HungStudy,
    Place,
    Protocol,
    Stage,
    assign,
    choose,
    sentence,
)
from worklist.models import Study

if TYPE_CHECKING:
    from dicom_viewer.bodies import HangingBody, HangingSetBody, LikeThisBody, StageBody

MOST_PROTOCOLS = 200
# Before all others of a person: what somebody just asked for is what they get.
_ASKED_PRIORITY = 10


def protocols_for(user_id: UUID | None) -> list[HangingProtocol]:
    """Return the person's own protocols, then the site's, each in the order they are tried."""
    rows = HangingProtocol.objects.filter(Q(user=None) | Q(user=user_id))
    return sorted(rows, key=lambda row: (row.user_id is None, row.priority, row.name))


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
    return {
        "id": str(row.pk),
        "name": row.name,
        "priority": row.priority,
        "is_site": row.user_id is None,
        "is_active": row.is_active,
        "Modality": row.modality,
        "BodyPartExamined": row.body_part_examined,
        "StudyDescription": row.study_description,
        "Laterality": row.laterality,
        "ViewPosition": row.view_position,
        "priors": row.number_of_priors,
        "stages": _stages(row),
        "sentence": sentence(_protocol(row)),
    }


def hung(
    actor: Actor, study: Study, series: Sequence[dict[str, Any]], priors: Sequence[Prior]
) -> dict[str, Any] | None:
    """Return the layout of a study by the protocol that fits it, or None where none does.

    Parameters
    ----------
    series : of the study, as the manifest describes them

    Returns
    -------
    ``protocol``, and ``stages``: each with rows, columns and, for each viewport, ``study`` and
    ``series`` by our ids, or None.
    """
    rows = [row for row in protocols_for(actor.user_id) if row.is_active]
    if not rows:
        return None
    now = _facts(study, map(_shown, series))
    chosen = choose([_protocol(row) for row in rows], now, len(priors))
    if chosen is None:
        return None
    row = next(row for row in rows if str(row.pk) == chosen.key)
    wanted = max((place.prior for stage in chosen.stages for place in stage.places), default=0)
    others = [prior.study for prior in priors[:wanted]]
    facts = [now, *(_facts(other, _of_prior(other)) for other in others)]
    ids = [str(study.pk), *(str(other.pk) for other in others)]
    return {
        "protocol": protocol_document(row),
        "stages": [
            {
                "name": stage.name,
                "rows": stage.rows,
                "columns": stage.columns,
                "viewports": [
                    None if at is None else {"study": ids[at[0]], "series": at[1]}
                    for at in assign(stage, facts)
                ],
            }
            for stage in chosen.stages
        ],
    }


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
    first, *more = body.stages
    row.rows, row.columns = first.rows, first.columns
    row.viewports = _places(first)
    row.more_stages = [
        {
            "name": stage.name,
            "rows": stage.rows,
            "columns": stage.columns,
            "viewports": _places(stage),
        }
        for stage in more
    ]


def _places(stage: StageBody) -> list[dict[str, Any]]:
    return [place.model_dump() for place in stage.places]


def _stages(row: HangingProtocol) -> list[dict[str, Any]]:
    first = {"name": "", "rows": row.rows, "columns": row.columns, "viewports": row.viewports}
    return [
        {
            "name": str(stage.get("name", "")),
            "rows": stage["rows"],
            "columns": stage["columns"],
            "places": stage.get("viewports", []),
        }
        for stage in [first, *row.more_stages]
    ]


def _protocol(row: HangingProtocol) -> Protocol:
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
        stages=tuple(
            Stage(
                rows=stage["rows"],
                columns=stage["columns"],
                name=stage["name"],
                places=tuple(map(_place, stage["places"])),
            )
            for stage in _stages(row)
        ),
    )


def _place(found: dict[str, Any]) -> Place:
    return Place(
        prior=int(found.get("prior") or 0),
        modality=str(found.get("Modality") or ""),
        description=str(found.get("SeriesDescription") or ""),
        laterality=str(found.get("Laterality") or ""),
        view=str(found.get("ViewPosition") or ""),
    )


def _facts(study: Study, series: Iterable[HungSeries]) -> HungStudy:
    return HungStudy(
        modalities=frozenset(study.modality_codes),
        body_part=study.body_part_examined,
        description=study.study_description,
        series=tuple(series),
    )


def _shown(document: dict[str, Any]) -> HungSeries:
    """Return a series as the manifest has described it."""
    images = document["images"]
    sides = [image["ImageLaterality"] for image in images if image["ImageLaterality"]]
    return HungSeries(
        key=document["id"],
        modality=document["Modality"] or "",
        description=document["SeriesDescription"] or "",
        laterality=document["Laterality"] or next(iter(sides), ""),
        views=frozenset(image["ViewPosition"] for image in images if image["ViewPosition"]),
        body_part=document["BodyPartExamined"] or "",
    )


def _of_prior(study: Study) -> Iterable[HungSeries]:
    """Return the series of a prior: one query; what only their images say is not known."""
    for row in sorted(study.series.all(), key=lambda row: row.series_number or 0):
        yield HungSeries(
            key=str(row.pk),
            modality=row.modality,
            description=row.series_description,
            laterality=row.laterality,
            body_part=row.body_part_examined,
        )
