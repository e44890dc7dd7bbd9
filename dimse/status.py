"""From what became of a request to its DIMSE status: one table."""

from __future__ import annotations

from dataclasses import dataclass

from archive import errors
from archive.ingest import Outcome
from imaging.framechoice import Problem

SUCCESS = 0x0000
SOP_CLASS_NOT_SUPPORTED = 0x0122
NOT_AUTHORISED = 0x0124
UNRECOGNISED_OPERATION = 0x0211
PENDING = 0xFF00
# Some optional keys were not supported (PS3.4 table C.4-1).
PENDING_WITHOUT_KEYS = 0xFF01
CANCELLED = 0xFE00
OUT_OF_RESOURCES = 0xA700
# Of C-MOVE and C-GET (PS3.4 tables C.4-2 and C.4-3).
NO_MATCH_COUNT = 0xA701
CANNOT_PERFORM = 0xA702
UNKNOWN_DESTINATION = 0xA801
SOME_FAILED = 0xB000
MISMATCH = 0xA900
# Of retrievals at the FRAME level (PS3.4 tables C.4-2 and C.4-3).
OF_FRAMES = {
    Problem.NO_SUCH_FRAMES: 0xAA00,
    Problem.WRONG_KIND: 0xAA01,
    Problem.CANNOT: 0xAA02,
    Problem.NOT_TIMED: 0xAA03,
    Problem.INVALID: 0xAA04,
}
KEPT_ASIDE = 0xB000
CANNOT_UNDERSTAND = 0xC000
FAILED = 0xC001

_OUTCOMES = {
    Outcome.STORED: (SUCCESS, ""),
    # The sender's goal is reached: the instance is here, once.
    Outcome.DUPLICATE: (SUCCESS, ""),
    # A warning and not a failure: the bytes are safe, and sending again changes nothing. Not
    # success either: the sender must not believe that its content is the one that is shown.
    Outcome.CONFLICT: (KEPT_ASIDE, "Kept aside: this UID is stored with other content."),
}

# The first class that fits decides: subclasses stand before their bases.
_ERRORS: tuple[tuple[type[errors.ArchiveError], int], ...] = (
    (errors.TransientError, OUT_OF_RESOURCES),
    (errors.TooLargeError, OUT_OF_RESOURCES),
    (errors.NotDicomError, CANNOT_UNDERSTAND),
    (errors.InvalidInputError, MISMATCH),
    (errors.ForbiddenError, NOT_AUTHORISED),
    (errors.ArchiveError, FAILED),
)

_COMMENT_LENGTH = 64


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and Error Comment of a response.

    Attributes
    ----------
    status : (0000,0900)
    comment : (0000,0902), LO: at most 64 characters of plain ASCII; empty: left out
    sentence : the same at full length, for people and logs

    References
    ----------
    DICOM PS3.7 section C and PS3.4 table B.2-1.
    """

    status: int
    comment: str = ""
    sentence: str = ""

    @property
    def is_success(self) -> bool:
        """Whether the sender may forget the instance."""
        return self.status == SUCCESS


OK = Answer(SUCCESS)


def of_outcome(outcome: Outcome) -> Answer:
    """Return the answer for an instance that was taken."""
    status, sentence = _OUTCOMES[outcome]
    return refusal(status, sentence)


def of_error(error: errors.ArchiveError) -> Answer:
    """Return the answer for an instance that was refused."""
    for kind, status in _ERRORS:
        if isinstance(error, kind):
            return refusal(status, str(error))
    raise AssertionError("ArchiveError ends the table")


def refusal(status: int, sentence: str) -> Answer:
    """Return an answer whose comment is what fits of `sentence`."""
    return Answer(status=status, comment=_comment(sentence), sentence=sentence)


def _comment(sentence: str) -> str:
    plain = "".join(c if " " <= c <= "~" and c != "\\" else "?" for c in " ".join(sentence.split()))
    if len(plain) <= _COMMENT_LENGTH:
        return plain
    first_sentence = plain.partition(". ")[0] + "."
    if len(first_sentence) <= _COMMENT_LENGTH:
        return first_sentence
    whole_words = plain[: _COMMENT_LENGTH - 3].rsplit(" ", 1)[0]
    return f"{whole_words} .."
