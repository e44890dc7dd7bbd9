"""Results of a program elsewhere, on their way in: written to a folder, checked before any is used.

The body is multipart (form-data or related) or JSON. Its signature covers every byte, so nothing of
it counts before the last one has come.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path

from django.conf import settings

from archive import analysis_results, webhooks
from archive.errors import InvalidInputError, NotDicomError, TooLargeError
from fastapi_app.services.dicomweb.related import Part, Reader, media_type

_DICOM = frozenset({"application/dicom", "application/octet-stream"})
_MULTIPART = frozenset({"multipart/form-data", "multipart/related"})
_JSON = "application/json"


class _File:
    """The content of one part."""

    def __init__(self, path: Path, most_bytes: int) -> None:
        self._file = path.open("wb")
        self._left = most_bytes

    def write(self, piece: bytes | memoryview) -> None:
        """Append a piece."""
        self._left -= len(piece)
        if self._left < 0:
            raise TooLargeError("One of the parts is larger than it may be.")
        self._file.write(piece)

    def finish(self) -> None:
        """Take note that it is whole."""
        self._file.close()

    def discard(self) -> None:
        """Forget it; the folder goes as a whole."""
        self._file.close()


class Reception:
    """A body that comes: its parts in a folder, its digest and its signature.

    Parameters
    ----------
    content_type : of the request
    check : of the signature

    Raises
    ------
    NotDicomError
        For a body of another kind.
    """

    def __init__(self, content_type: str | None, check: webhooks.Check) -> None:
        kind = media_type(content_type)
        if kind.name not in _MULTIPART and kind.name != _JSON:
            raise NotDicomError(
                f"Send results as multipart/form-data, multipart/related or {_JSON}."
            )
        parent: Path = settings.CACHE_DIR / "results"
        parent.mkdir(parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(dir=parent))
        self._check = check
        self._digest = hashlib.sha256()
        self._count = 0
        self._whole: _File | None = None
        self._reader: Reader | None = None
        if kind.name == _JSON:
            self._whole = self._findings()
        else:
            self._reader = Reader(kind.parameter("boundary"), self._open)

    def _findings(self) -> _File:
        path = self.folder / analysis_results.FINDINGS
        if path.exists():
            raise InvalidInputError("The body holds findings twice. Send one list.")
        return _File(path, analysis_results.MOST_JSON_BYTES)

    def _open(self, headers: dict[str, str]) -> Part:
        kind = media_type(headers.get("content-type")).name
        if kind == _JSON:
            return self._findings()
        if kind not in _DICOM:
            raise NotDicomError(f"Parts are {_JSON} (findings) or application/dicom, not '{kind}'.")
        self._count += 1
        if self._count > analysis_results.MOST_OBJECTS:
            raise TooLargeError(f"Send at most {analysis_results.MOST_OBJECTS} objects.")
        return _File(self.folder / f"{self._count:04}.dcm", analysis_results.MOST_BYTES)

    def feed(self, piece: bytes) -> None:
        """Take the next bytes."""
        self._check.update(piece)
        self._digest.update(piece)
        if self._whole is not None:
            self._whole.write(piece)
        if self._reader is not None:
            self._reader.feed(piece)

    def finish(self) -> None:
        """Take note that the body is over.

        Raises
        ------
        BrokenBodyError
            When it was cut off.
        """
        if self._whole is not None:
            self._whole.finish()
        if self._reader is not None:
            self._reader.close()

    def is_signed(self, header: str) -> bool:
        """Whether the body is what its sender signed."""
        return self._check.is_signed(header)

    @property
    def digest(self) -> str:
        """The SHA-256 of the body in hex."""
        return self._digest.hexdigest()

    def discard(self) -> None:
        """Remove what came."""
        if self._reader is not None:
            self._reader.discard()
        if self._whole is not None:
            self._whole.discard()
        shutil.rmtree(self.folder, ignore_errors=True)
