"""How a study is hung: the protocol that fits it, and what stands in each viewport."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from dicom_viewer import hanging
from dicom_viewer.documents import protocol_document, stage_document
from dicom_viewer.series import Image, describe, kept_images, starting_image
from imaging import built_in_layouts, sopclass
from imaging.hanging import Assignment, Hung, HungImage, HungSeries, HungStudy, Place, Stage, hang
from imaging.projections import side_of, view_of

if TYPE_CHECKING:
    from archive.access import Actor
    from archive.priors import Prior
    from worklist.models import Series, Study

# Their images are told apart one by one; of others a series is one thing.
_PROJECTIONS = frozenset({"MG", "CR", "DX", "RG", "RF", "PX", "IO"})
_SCOUT_WORDS = ("scout", "localizer", "topogram", "survey", "surview")
# Below this an older study shows another region or was made by another kind of machine
# (imaging.relevance): it is not opened by itself.
_TELLING = 45


def hung(
    actor: Actor | None,
    study: Study,
    series: Sequence[dict[str, Any]],
    priors: Sequence[Prior] = (),
) -> dict[str, Any] | None:
    """Return the layout of a study by the protocol that fits it best.

    Parameters
    ----------
    actor : whose own protocols count too; None: the built-in ones alone
    series : of the study, as the manifest describes them
    priors : other studies of the person, the most telling first

    Returns
    -------
    ``protocol``, and ``stages``: each with rows, columns and, for each viewport, ``study``,
    ``series`` and ``image`` by our ids, or None. None where nothing can be hung.
    """
    rows = hanging.active_protocols(actor.user_id) if actor is not None else []
    protocols = [*map(hanging.protocol_of, rows), *built_in_layouts.PROTOCOLS]
    telling = [prior for prior in priors if _is_telling(prior)]
    most = max(
        (place.prior for one in protocols for stage in one.stages for place in stage.places),
        default=0,
    )
    others = [prior.study for prior in telling[:most]]
    shown = [_own_series(series), *(_series_of(other) for other in others)]
    facts = [_facts(one, its) for one, its in zip([study, *others], shown, strict=True)]
    found = hang(protocols, facts)
    if found is None:
        return None
    protocol, stages = found
    ids = [str(study.pk), *(str(other.pk) for other in others)]
    starts = [{one["id"]: one["start"] for one in its} for its in shown]
    return {
        "protocol": protocol_document(protocol),
        "stages": [_stage_document(stage, one, ids, starts) for stage, one in stages],
    }


def _is_telling(prior: Prior) -> bool:
    """Say whether a study is an earlier one of this region, made by such a machine."""
    interval = prior.relevance.interval_days
    return prior.relevance.score >= _TELLING and (interval is None or interval >= 0)


def _stage_document(
    stage: Stage, assignment: Assignment, ids: Sequence[str], starts: Sequence[dict[str, str]]
) -> dict[str, Any]:
    count = stage.rows * stage.columns
    places = [*stage.places, *[Place()] * count][:count]

    def viewport(one: Hung, place: Place) -> dict[str, Any]:
        center, width = place.window or (None, None)
        return {
            "study": ids[one.study],
            "series": one.series,
            "image": one.image or starts[one.study][one.series],
            "laterality": place.laterality,
            "window_center": center,
            "window_width": width,
            "show": place.show,
        }

    return {
        **{key: value for key, value in stage_document(stage).items() if key != "places"},
        "viewports": [
            one and viewport(one, place) for one, place in zip(assignment, places, strict=True)
        ],
    }


def _facts(study: Study, series: Iterable[dict[str, Any]]) -> HungStudy:
    return HungStudy(
        modalities=frozenset(study.modality_codes),
        body_part=study.body_part_examined,
        description=study.study_description,
        series=tuple(map(_hung_series, series)),
    )


def _own_series(documents: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return _in_hanging_order(
        {
            "id": one["id"],
            "modality": one["Modality"] or "",
            "description": one["SeriesDescription"] or "",
            "laterality": one["Laterality"] or "",
            "body_part": one["BodyPartExamined"] or "",
            "images": one["images"],
        }
        for one in documents
    )


def _series_of(study: Study) -> list[dict[str, Any]]:
    """Return the series of a prior: one query.

    Only projections are told by their images; of others the viewer knows where to begin as soon as
    it has the prior's own manifest.
    """
    is_projection = bool(_PROJECTIONS & set(study.modality_codes))
    query = study.series.all() if is_projection else study.series.defer("metadata")
    rows: list[Series] = sorted(query, key=lambda row: row.series_number or 0)
    return _in_hanging_order(
        {
            "id": str(row.pk),
            "modality": row.modality,
            "description": row.series_description,
            "laterality": row.laterality,
            "body_part": row.body_part_examined,
            "images": _images_of(row) if row.modality in _PROJECTIONS else [],
        }
        for row in rows
    )


def _images_of(row: Series) -> Sequence[Image]:
    """Return the images of a series as they are kept, or described now where nothing is."""
    kept = kept_images(row)
    return describe(row.images.all()) if kept is None else kept


def _in_hanging_order(series: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out what is no picture, put scouts last, and say where each series is begun."""
    kept = []
    for one in series:
        images = [image for image in one["images"] if image["transport"] is not None]
        is_described = bool(one["images"])
        if one["modality"] in sopclass.COMPANION_MODALITIES or (is_described and not images):
            continue
        start = starting_image(images)
        kept.append({**one, "images": images, "start": start["id"] if start else ""})
    return sorted(kept, key=_is_scout)


def _is_scout(series: dict[str, Any]) -> bool:
    if series["images"]:
        return all("LOCALIZER" in (image["ImageType"] or ()) for image in series["images"])
    return any(word in series["description"].casefold() for word in _SCOUT_WORDS)


def _hung_series(one: dict[str, Any]) -> HungSeries:
    images = one["images"] if one["modality"] in _PROJECTIONS else one["images"][:1]
    return HungSeries(
        key=one["id"],
        modality=one["modality"],
        description=one["description"],
        body_part=one["body_part"],
        images=tuple(_hung_image(one, image) for image in images),
    )


def _hung_image(series: dict[str, Any], image: Image) -> HungImage:
    is_projection = series["modality"] in _PROJECTIONS
    words = [series["description"]] if is_projection else []
    return HungImage(
        key=image["id"],
        laterality=side_of(image["ImageLaterality"] or series["laterality"], words),
        # Rows that were stored before the code was read have none.
        view=view_of(image["ViewPosition"], image.get("ViewCodeValue"), words),
    )
