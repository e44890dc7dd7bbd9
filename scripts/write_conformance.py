"""Write the tables of docs/conformance.md that follow from the code; --check only compares."""

from __future__ import annotations

import sys
from pathlib import Path

from pydicom.datadict import dictionary_VR, tag_for_keyword

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from archive.query_columns import COLUMNS, CONSTANT, COUNTED, LEVELS, Kind  # noqa: E402
from imaging.attributes import OF_LEVEL  # noqa: E402

DOCUMENT = PROJECT / "docs" / "conformance.md"
_UNIQUE = {"PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"}
_MATCHING = {
    "PN": "single value, wildcard, fuzzy",
    "UI": "single value, list of UIDs",
    "DA": "single value, range",
    "TM": "single value, range",
    "DT": "single value, range",
    "IS": "single value",
    "DS": "single value",
    "US": "single value",
    "SQ": "sequence",
}


def keys_of(level: str) -> str:
    """Return the table of the keys of one level."""
    columns = COLUMNS[level]
    returned = {name for name, column in columns.items() if column.kind is Kind.COUNT}
    returned |= {name for name in COUNTED[level] if name.startswith("NumberOf")}
    names = [*columns, *COUNTED[level], *OF_LEVEL[level]]
    tags = {name: tag_for_keyword(name) or 0 for name in names}
    lines = ["| Attribute | Tag | VR | Matching |", "| --- | --- | --- | --- |"]
    for name in sorted(tags, key=tags.__getitem__):
        tag = tags[name]
        vr = dictionary_VR(tag)
        matching = _MATCHING.get(vr, "single value, wildcard")
        if name in returned:
            matching = "returned only"
        if name in _UNIQUE:
            matching += " (unique key)"
        lines.append(f"| {name} | ({tag >> 16:04X},{tag & 0xFFFF:04X}) | {vr} | {matching} |")
    return "\n".join(lines)


def tables() -> dict[str, str]:
    """Return every generated table by its mark."""
    found = {f"keys {level}": keys_of(level) for level in LEVELS}
    found["keys everywhere"] = ", ".join(CONSTANT)
    return found


def rendered(text: str) -> str:
    """Return the document with its tables as the code has them now."""
    for mark, table in tables().items():
        begin, end = f"<!-- from code: {mark} -->\n", "\n<!-- end -->"
        before, found, rest = text.partition(begin)
        if not found:
            raise LookupError(f"The document has no mark {mark!r}.")
        text = before + begin + table + end + rest.partition(end)[2]
    return text


def main() -> int:
    """Write the document, or say whether it is current."""
    before = DOCUMENT.read_text(encoding="utf-8")
    after = rendered(before)
    if "--check" in sys.argv[1:]:
        return int(before != after)
    DOCUMENT.write_text(after, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
