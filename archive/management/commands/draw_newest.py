"""`draw_newest`: draw the newest picture of each modality, as the viewer would."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand
from django.db.models import QuerySet

from archive import retrieve
from archive.errors import ArchiveError
from worklist.models import DicomImage, Series

_TRIED = 5


class Command(BaseCommand):
    help = "Draw the newest picture of each modality; fails where one has none that can be drawn."

    def handle(self, *_args: Any, **_options: Any) -> None:
        pictures = DicomImage.objects.filter(has_pixels=True)
        modalities = (
            Series.objects.filter(images__has_pixels=True)
            .order_by("modality")
            .values_list("modality", flat=True)
            .distinct()
        )
        failed = [
            modality
            for modality in modalities
            if not self._is_drawn(
                modality,
                pictures.filter(series__modality=modality).order_by("-received_at")[:_TRIED],
            )
        ]
        if failed:
            raise SystemExit(1)
        self.stdout.write(f"Drew the newest pictures of: {', '.join(modalities) or 'nothing'}.")

    def _is_drawn(self, modality: str, images: QuerySet[DicomImage]) -> bool:
        reasons = []
        for image in images:
            try:
                retrieve.preview(image, retrieve.middle_frame(image))
            except ArchiveError as error:
                # One damaged picture is no reason to doubt a backup that holds it as it is.
                reasons.append(str(error))
            else:
                return True
        self.stdout.write(f"No picture of modality {modality or 'unknown'} is drawn: {reasons[0]}")
        return False
