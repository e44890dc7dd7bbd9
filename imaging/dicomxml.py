"""The Native DICOM Model: data sets as XML (PS3.19 annex A), made from the JSON model."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from pydicom.datadict import dictionary_keyword

from imaging.dicomjson import Json

NAMESPACE = "http://dicom.nema.org/PS3.19/models/NativeDICOM"
_HEAD = '<?xml version="1.0" encoding="UTF-8"?>'
# What XML 1.0 has no way to write, not even escaped.
_UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")
_NAME_PARTS = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")


def of_model(model: Json) -> bytes:
    """Return a data set of the DICOM JSON Model as a document of the Native DICOM Model.

    References
    ----------
    DICOM PS3.19 section A.1, PS3.18 annex F.
    """
    body = "".join(_attributes(model))
    return f'{_HEAD}<NativeDicomModel xmlns="{NAMESPACE}">{body}</NativeDicomModel>'.encode()


def _attributes(model: Json) -> Iterator[str]:
    for tag, attribute in model.items():
        yield f"<DicomAttribute{_names(tag, attribute['vr'], model)}>"
        if "BulkDataURI" in attribute:
            yield f"<BulkData uri={quoteattr(_clean(attribute['BulkDataURI']))}/>"
        elif "InlineBinary" in attribute:
            yield f"<InlineBinary>{attribute['InlineBinary']}</InlineBinary>"
        else:
            for number, value in enumerate(attribute.get("Value", ()), start=1):
                yield from _value(attribute["vr"], number, value)
        yield "</DicomAttribute>"


def _names(tag: str, vr: str, model: Json) -> str:
    """Return the XML attributes; private elements are named by creator and the last two digits."""
    text = f' tag="{tag}" vr="{vr}"'
    group, element = int(tag[:4], 16), int(tag[4:], 16)
    if group % 2:
        creator = model.get(f"{tag[:4]}00{tag[4:6]}", {}).get("Value")
        if element > 0xFF and creator and creator[0]:
            text = f' tag="{tag[:4]}00{tag[6:]}" vr="{vr}"'
            text += f" privateCreator={quoteattr(_clean(str(creator[0])))}"
        return text
    try:
        keyword = dictionary_keyword(int(tag, 16))
    except KeyError:
        keyword = ""
    return f'{text} keyword="{keyword}"' if keyword else text


def _value(vr: str, number: int, value: Any) -> Iterator[str]:  # noqa: ANN401 - a value of JSON
    if vr == "SQ":
        yield f'<Item number="{number}">'
        yield from _attributes(value)
        yield "</Item>"
    elif value is None:
        # An empty value between others keeps its place by the numbers of those.
        return
    elif vr == "PN":
        yield f'<PersonName number="{number}">'
        for group, text in value.items():
            parts = zip(_NAME_PARTS, text.split("^"), strict=False)
            inner = "".join(f"<{name}>{_text(part)}</{name}>" for name, part in parts if part)
            yield f"<{group}>{inner}</{group}>"
        yield "</PersonName>"
    else:
        yield f'<Value number="{number}">{_text(str(value))}</Value>'


def _text(text: str) -> str:
    # A bare carriage return would be read as a line feed.
    return escape(_clean(text), {"\r": "&#13;"})


def _clean(text: str) -> str:
    return _UNWRITABLE.sub("\ufffd", text)
