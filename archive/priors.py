"""Other studies of the same person, the most telling first."""

from __future__ import annotations

from dataclasses import dataclass

from archive import patients
from archive.access import Scope
from imaging.relevance import Relevance, StudyFacts, ordered
from worklist.models import Study

# Of people who were examined more often the latest are compared.
_MOST_COMPARED = 500
MOST_PRIORS = 40


@dataclass(frozen=True, slots=True)
class Prior:
    """Another study of the person, and how much it says."""

    study: Study
    relevance: Relevance


def priors_of(scope: Scope, study: Study, *, most: int = MOST_PRIORS) -> list[Prior]:
    """Return other studies of a study's patient and of every identity linked with it.

    Parameters
    ----------
    scope : whose studies may be shown

    Returns
    -------
    At most `most`, by relevance; two queries where nothing is linked.
    """
    group = patients.group_ids(study.patient_id)
    rows = scope.filter(Study.objects.filter(patient__in=group).exclude(pk=study.pk))
    others = {str(row.pk): row for row in rows.order_by("-sort_at")[:_MOST_COMPARED]}
    found = ordered(_facts(study), [(key, _facts(row)) for key, row in others.items()])
    return [Prior(others[key], relevance) for key, relevance in found[:most]]


def _facts(study: Study) -> StudyFacts:
    return StudyFacts(
        day=study.study_date,
        modalities=frozenset(study.modality_codes),
        words=f"{study.body_part_examined} {study.study_description}",
    )
