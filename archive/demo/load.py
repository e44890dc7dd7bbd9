"""Put the demo studies, their facility and their users into the archive, once."""

from __future__ import annotations

import io
import logging
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pydicom.data
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts.models import Role, User
from archive import audit, facilities, ingest, spool
from archive.access import Actor, system_actor
from archive.demo import marker, objects
from archive.demo.objects import DemoStudy
from archive.errors import ArchiveError
from archive.ingest import Provenance
from archive.secretfiles import write_secret
from worklist.models import DicomImage, Facility, Study

logger = logging.getLogger(__name__)

FACILITY_CODE = "DEMO"
AE_TITLE = "DEMO_SCU"
PASSWORDS_FILE = "demo-passwords"
_USERS = (("radiologist", Role.RADIOLOGIST), ("technologist", Role.TECHNOLOGIST))

# Real files that come with pydicom: kinds that arithmetic does not draw well.
_REAL_FILES = (
    "CT_small.dcm",
    "MR_small_RLE.dcm",
    "JPEG2000.dcm",
    "examples_overlay.dcm",
    "examples_palette.dcm",
    "examples_rgb_color.dcm",
    "examples_ybr_color.dcm",
    "waveform_ecg.dcm",
)

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class Loaded:
    """What was put in now; nothing where it was there already."""

    stored: int
    new_users: tuple[str, ...]


def load(progress: Progress) -> Loaded:
    """Load what is missing of the demo; doing it again changes nothing.

    Parameters
    ----------
    progress : called with objects done, objects in all, and what is being made
    """
    actor = system_actor("demo")
    facility = _facility(actor)
    new_users = _users(actor, facility)
    provenance = Provenance(facility=facility, source="demo", is_demo=True)
    real = _real_files()
    total = sum(study.number_of_objects for study in objects.STUDIES) + len(real)
    done = stored = 0
    for study in objects.STUDIES:
        progress(done, total, study.description)
        if _count(facility, study) < study.number_of_objects:
            for number, is_new in enumerate(_store_study(study, provenance), start=1):
                stored += is_new
                progress(done + number, total, study.description)
        done += study.number_of_objects
    for path in real:
        stored += _store_file(path, provenance)
        done += 1
        progress(done, total, "Other kinds")
    marker.put()
    return Loaded(stored=stored, new_users=new_users)


def _facility(actor: Actor) -> Facility:
    draft = facilities.FacilityDraft(
        code=FACILITY_CODE, name="Demo facility", ae_titles=[AE_TITLE], is_demo=True
    )
    known = Facility.objects.filter(code=FACILITY_CODE, is_demo=True).first()
    return known or facilities.save_facility(actor, draft)


def _users(actor: Actor, facility: Facility) -> tuple[str, ...]:
    """Make the demo users with random passwords, which lie in a file of the owner's alone."""
    lines: list[str] = []
    new: list[str] = []
    for username, role in _USERS:
        if User.objects.filter(username=username).exists():
            continue
        password = secrets.token_urlsafe(12)
        with transaction.atomic():
            user = User.objects.create_user(
                username, password=password, role=role, is_demo=True, first_name="Demo"
            )
            user.last_name = role.label
            user.save(update_fields=["last_name"])
            user.facilities.add(facility)
            audit.record(actor, "user.create", user, role=role.value)
        new.append(username)
        lines.append(f"{username} / {password}\n")
    if lines:
        write_secret(Path(settings.DATA_DIR) / PASSWORDS_FILE, "".join(lines))
    return tuple(new)


def _count(facility: Facility, study: DemoStudy) -> int:
    row = Study.objects.filter(
        facility=facility, study_instance_uid=study.study_instance_uid
    ).first()
    return row.instance_count if row is not None else 0


def _store_study(study: DemoStudy, provenance: Provenance) -> Iterator[bool]:
    """Store the objects that are missing; a study that was cut short keeps its first date."""
    known = set(
        DicomImage.objects.filter(
            facility=provenance.facility,
            series__study__study_instance_uid=study.study_instance_uid,
        ).values_list("sop_instance_uid", flat=True)
    )
    for content in _ahead(_files(study, known)):
        if not content:
            yield False
            continue
        with spool.spool_chunks([content]) as spooled:
            result = ingest.ingest_instance(spooled, provenance)
        yield result.outcome is ingest.Outcome.STORED


def _files(study: DemoStudy, known: set[str]) -> Iterator[bytes]:
    """Yield each object as a file, or nothing in its place where it is stored already."""
    for ds in study.make(study, timezone.localtime()):
        out = io.BytesIO()
        if ds.SOPInstanceUID not in known:
            ds.save_as(out, enforce_file_format=True)
        yield out.getvalue()


def _ahead(files: Iterator[bytes]) -> Iterator[bytes]:
    """Make the next file while this one is stored: arithmetic and disk keep two cores busy."""
    with ThreadPoolExecutor(max_workers=1) as maker:
        coming = maker.submit(next, files, None)
        while (content := coming.result()) is not None:
            coming = maker.submit(next, files, None)
            yield content


def _real_files() -> list[Path]:
    folder = Path(pydicom.data.__file__).parent / "test_files"
    return [path for name in _REAL_FILES if (path := folder / name).is_file()]


def _store_file(path: Path, provenance: Provenance) -> bool:
    try:
        with path.open("rb") as handle, spool.spool_file(handle) as spooled:
            result = ingest.ingest_instance(spooled, provenance)
    except ArchiveError as error:
        # The files are another project's and change with its versions; the demo goes on.
        logger.warning("The demo goes without %s: %s", path.name, error)
        return False
    return result.outcome is ingest.Outcome.STORED
