"""Where the patient's sides lie at the edges of a picture, however it is turned or mirrored."""

from collections.abc import Sequence

Edges = tuple[str, str, str, str]

# Below this share of a direction its letter is left out: about 11 degrees.
_SMALLEST_SHARE = 0.2
_OPPOSITE = str.maketrans("LRAPHF", "RLPAFH")
_LETTERS = (("L", "R"), ("P", "A"), ("H", "F"))


def directions(vector: Sequence[float]) -> str:
    """Return the letters of a patient direction, the strongest first.

    Parameters
    ----------
    vector : x, y, z towards left, posterior, head, of length 1

    References
    ----------
    DICOM PS3.3 section C.7.6.1.1.1.
    """
    parts = sorted(zip(vector, _LETTERS, strict=True), key=lambda part: -abs(part[0]))
    return "".join(letters[share < 0] for share, letters in parts if abs(share) > _SMALLEST_SHARE)


def edge_letters(
    axes: Sequence[float] | None,
    sides: Sequence[str] | None,
    orientation: tuple[int, int, int, int],
) -> Edges | None:
    """Return the letters at the left, upper, right and lower edge; None where nobody knows.

    Parameters
    ----------
    axes : Image Orientation (Patient): six cosines of rows and columns
    sides : Patient Orientation, used where there are no axes: letters of rows and columns
    orientation : how (column, row) of the picture go to (right, down)

    References
    ----------
    DICOM PS3.3 sections C.7.6.1.1.1 and C.7.6.2.1.1.
    """
    if axes is not None and len(axes) == 6:
        row, column = directions(axes[:3]), directions(axes[3:])
    elif sides is not None and len(sides) == 2:
        row, column = (str(side).strip().upper() for side in sides)
    else:
        return None
    if not row and not column:
        return None
    a, b, c, d = orientation
    right, down = _along(row, column, a, b), _along(row, column, c, d)
    return right.translate(_OPPOSITE), down.translate(_OPPOSITE), right, down


def _along(row: str, column: str, of_row: int, of_column: int) -> str:
    letters = row if of_row else column
    return letters if of_row + of_column > 0 else letters.translate(_OPPOSITE)
