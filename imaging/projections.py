"""Side and view of a projection, from the attributes that say it, or else from descriptions."""

import re
from collections.abc import Iterable

# Code Value of View Code Sequence (0054,0220) to the abbreviation of View Position (0018,5101),
# in SNOMED RT and SNOMED CT: PS3.16 CID 4014 (mammography) and CID 4010 (other projections).
_CODES = {
    "R-10242": "CC", "399162004": "CC",
    "R-10226": "MLO", "399368009": "MLO",
    "R-10224": "ML", "399260004": "ML",
    "R-10228": "LM", "399352003": "LM",
    "R-10230": "LMO", "399099002": "LMO",
    "R-10244": "FB", "399196006": "FB",
    "R-10206": "AP", "399348003": "AP",
    "R-10214": "PA", "272479007": "PA",
    "R-10236": "LL", "399173006": "LL",
    "R-10232": "RL", "399198007": "RL",
}  # fmt: skip
_SAME_VIEWS = {"LAT": "LATERAL", "LLAT": "LL", "RLAT": "RL", "A/P": "AP", "P/A": "PA"}
_VIEW_WORDS = {
    "craniocaudal": "CC", "pa": "PA", "ap": "AP", "lat": "LATERAL", "lateral": "LATERAL",
    "seitlich": "LATERAL", "profil": "LATERAL", "ll": "LL", "rl": "RL",
}  # fmt: skip
_SIDE_WORDS = {
    "l": "L", "lt": "L", "left": "L", "links": "L", "gauche": "L", "izquierda": "L",
    "r": "R", "rt": "R", "right": "R", "rechts": "R", "droite": "R", "derecha": "R",
}  # fmt: skip
# "RCC", "L-MLO" and "LMLOD" (digital) as consoles write them.
_JOINED = re.compile(r"^([lr]?)(cc|mlo|ml|lm)d?$")


def side_of(laterality: str | None, descriptions: Iterable[str | None] = ()) -> str:
    """Return ``L``, ``R``, ``B`` or, where nothing says it, an empty text.

    Parameters
    ----------
    laterality : Image Laterality (0020,0062), else Laterality (0020,0060)
    descriptions : asked in turn where there is no laterality

    References
    ----------
    DICOM PS3.3 section C.8.11.7 (Image Laterality), C.7.3.1 (Laterality).
    """
    said = (laterality or "").strip().upper()
    if said in ("L", "R", "B"):
        return said
    if said == "U":
        return ""
    for text in descriptions:
        words = _words(text)
        found = {_SIDE_WORDS[word] for word in words if word in _SIDE_WORDS}
        found |= {match[1].upper() for word in words if (match := _JOINED.match(word))} - {""}
        if len(found) == 1:
            return found.pop()
    return ""


def view_of(
    position: str | None, code: str | None = None, descriptions: Iterable[str | None] = ()
) -> str:
    """Return the view of a projection as View Position abbreviates it, or an empty text.

    Parameters
    ----------
    position : View Position (0018,5101)
    code : Code Value of the item of View Code Sequence (0054,0220)
    descriptions : asked in turn where neither says a view

    References
    ----------
    DICOM PS3.3 sections C.8.7.1, C.8.11.5, C.8.11.7; PS3.16 CID 4010, CID 4014.
    """
    said = (position or "").strip().upper()
    if said:
        return _SAME_VIEWS.get(said, said)
    if code and code.strip() in _CODES:
        return _CODES[code.strip()]
    for text in descriptions:
        words = _words(text)
        found = {_VIEW_WORDS[word] for word in words if word in _VIEW_WORDS}
        found |= {match[2].upper() for word in words if (match := _JOINED.match(word))}
        if len(found) == 1:
            return found.pop()
    return ""


def _words(text: str | None) -> list[str]:
    return re.findall(r"[^\W_]+", (text or "").casefold())
