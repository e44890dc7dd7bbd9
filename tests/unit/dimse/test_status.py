"""The table from outcomes and errors to DIMSE statuses."""

from __future__ import annotations

import pytest

from archive import errors
from archive.ingest import Outcome
from dimse import status


@pytest.mark.parametrize(
    ("outcome", "code"),
    [(Outcome.STORED, 0x0000), (Outcome.DUPLICATE, 0x0000), (Outcome.CONFLICT, 0xB000)],
)
def test_outcomes(outcome: Outcome, code: int) -> None:
    answer = status.of_outcome(outcome)
    assert answer.status == code
    assert bool(answer.comment) == (code != 0)


def test_every_outcome_has_its_answer() -> None:
    for outcome in Outcome:
        assert status.of_outcome(outcome).is_success == (outcome is not Outcome.CONFLICT)


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.StoreUnavailableError, 0xA700),
        (errors.TransientError, 0xA700),
        (errors.TooLargeError, 0xA700),
        (errors.NotDicomError, 0xC000),
        (errors.InvalidInputError, 0xA900),
        (errors.ForbiddenError, 0x0124),
        (errors.NotFoundError, 0xC001),
        (errors.PermanentError, 0xC001),
        (errors.ArchiveError, 0xC001),
    ],
)
def test_errors(kind: type[errors.ArchiveError], code: int) -> None:
    answer = status.of_error(kind("What happened, and what to do."))
    assert answer.status == code
    assert answer.comment == "What happened, and what to do."
    assert not answer.is_success


def test_no_error_is_ever_answered_with_success_or_warning() -> None:
    pending, seen = [errors.ArchiveError], 0
    while pending:
        kind = pending.pop()
        pending += kind.__subclasses__()
        seen += 1
        # Without its own arguments: some errors want more than a sentence.
        code = status.of_error(kind.__new__(kind, "x")).status
        assert code >> 12 not in (0x0, 0xB) or code == status.NOT_AUTHORISED
    assert seen >= 10


@pytest.mark.parametrize(
    ("sentence", "comment"),
    [
        ("", ""),
        ("Short enough.", "Short enough."),
        (
            "The object has no Study Instance UID. Have the sending system add it, please.",
            "The object has no Study Instance UID.",
        ),
        (
            "One sentence that is so long that it does not fit into sixty-four characters at all",
            "One sentence that is so long that it does not fit into ..",
        ),
        ("Größe\\n\nof\x00 \u5c71", "Gr??e?n of? ?"),
        ("x" * 100, "x" * 61 + " .."),
    ],
)
def test_comments_fit_their_value_representation(sentence: str, comment: str) -> None:
    answer = status.refusal(0xC000, sentence)
    assert answer.comment == comment
    assert len(answer.comment) <= 64
    assert answer.comment.isascii()
    assert "\\" not in answer.comment
    assert answer.sentence == sentence
