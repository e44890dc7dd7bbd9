"""The health check: is everything there that the site needs, and does it really work.

Eight looks at what lies still, then live traffic through the real ports.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from django.conf import settings
from django.core import checks as django_checks
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Q

from accounts.models import Role, User
from archive import damage, stores, verification
from archive.errors import ArchiveError
from blobs import BlobMissingError
from imaging import aetitle
from imaging.errors import ImagingError
from noctis_pro import probe, readiness
from noctis_pro.readiness import Check
from worklist.models import DicomImage, Facility, FacilityAE

_GIB = 1024**3
_LEAST_FREE_BYTES = 1 * _GIB
# Up to here every row is compared with its file; above, the newest.
_MOST_ROWS = 50_000
_NEWEST = 2_000
_NEWEST_READ = 20
_SECRET_FILES = ("secret-key", "initial-admin-password", "demo-passwords")


def run_checks(*, with_traffic: bool = True) -> list[Check]:
    """Run every check; one that breaks is one that does not hold.

    Parameters
    ----------
    with_traffic : also send an echo and an instance, and fetch its picture
    """
    owner = _owner()
    if not owner.ok:
        # Files that another user makes here (SQLite's, the store's) would lock the site's user out.
        return [owner]
    database = _database()
    found = [_guarded("directory structure", _directories), database]
    found.append(_guarded("DICOM storage configuration", _storage))
    if database.ok:
        found.append(_guarded("user accounts", _users))
        found.append(_guarded("facilities", _facilities))
        found.append(_guarded("DICOM data integrity", _data))
    found.append(_guarded("permissions", _permissions))
    found.append(_guarded("configuration", _configuration))
    if with_traffic and database.ok:
        found += [_named("process: ", check) for check in readiness.readiness()[1:]]
        found += _traffic()
    return found


def _guarded(name: str, look: Callable[[], Check]) -> Check:
    try:
        return look()
    except (OSError, DatabaseError, ArchiveError) as error:
        return Check(name, ok=False, message=f"The check broke off: {error}", remedy="See the log.")


def _traffic() -> list[Check]:
    try:
        return probe.traffic()
    except (OSError, DatabaseError, ArchiveError) as error:
        text = f"The self test broke off: {error}"
        return [Check("live traffic", ok=False, message=text, remedy="See the log.")]


def _named(prefix: str, check: Check) -> Check:
    return replace(check, name=f"{prefix}{check.name}")


def _owner() -> Check:
    name = "user"
    data_dir = Path(settings.DATA_DIR)
    if not data_dir.is_dir():
        return Check(name, ok=True, message="The data directory does not exist yet.")
    if data_dir.stat().st_uid != os.geteuid():
        return Check(
            name,
            ok=False,
            message=f"{data_dir} belongs to the user {data_dir.owner()}, not to you.",
            remedy=f"Run this as that user: sudo -u {data_dir.owner()} ...",
        )
    return Check(name, ok=True, message="You are the user that the data directory belongs to.")


def _directories() -> Check:
    name = "directory structure"
    wanted = (
        Path(settings.DATA_DIR),
        settings.CONFIG.log_dir,
        settings.CACHE_DIR,
        settings.DICOM_ROOT,
        settings.DICOM_SPOOL_DIR,
    )
    for folder in wanted[3:]:
        folder.mkdir(parents=True, exist_ok=True)
    missing = [str(folder) for folder in wanted if not folder.is_dir()]
    if missing:
        text = f"Missing: {', '.join(missing)}."
        return Check(name, ok=False, message=text, remedy="Run 'manage.py prepare_site'.")
    if settings.DICOM_ROOT.stat().st_dev != settings.DICOM_SPOOL_DIR.stat().st_dev:
        return Check(
            name,
            ok=False,
            message="The spool lies on another file system than the store.",
            remedy=f"{settings.DICOM_SPOOL_DIR} must not be a mount point or a link elsewhere.",
        )
    return Check(name, ok=True, message=f"{len(wanted)} directories are where they should be.")


def _database() -> Check:
    name = "database"
    try:
        connection.ensure_connection()
        executor = MigrationExecutor(connection)
        plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
        weak = _weak_durability()
    except DatabaseError as error:
        return Check(
            name,
            ok=False,
            message=f"It does not answer: {str(error).strip()}",
            remedy="Start it, or correct DATABASE_URL.",
        )
    if plan:
        text = f"{len(plan)} migrations are not applied."
        return Check(name, ok=False, message=text, remedy="Run 'manage.py prepare_site'.")
    if weak:
        return Check(name, ok=False, message=weak, remedy="Correct the database's settings.")
    return Check(name, ok=True, message=f"{connection.display_name} answers and is up to date.")


def _weak_durability() -> str:
    """Return what would lose answered instances in a power cut; empty where nothing would."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("PRAGMA synchronous")
            synchronous = cursor.fetchone()[0]
            cursor.execute("PRAGMA journal_mode")
            journal = cursor.fetchone()[0]
            if synchronous < 2 or journal != "wal":
                return f"SQLite runs with synchronous={synchronous} and journal_mode={journal}."
            return ""
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            cursor.execute("SELECT current_setting(%s)", [setting])
            if cursor.fetchone()[0] == "off":
                return f"PostgreSQL runs with {setting}=off: a power cut loses what was answered."
    return ""


def _storage() -> Check:
    name = "DICOM storage configuration"
    try:
        aetitle.validate(settings.DICOM_SCP_AE_TITLE)
    except ImagingError as error:
        return Check(name, ok=False, message=str(error), remedy="Correct DICOM_AET.")
    writable = readiness.store()
    if not writable.ok:
        return Check(name, ok=False, message=writable.message, remedy=writable.remedy)
    disk = shutil.disk_usage(settings.DICOM_ROOT)
    free = f"{disk.free / _GIB:.1f} GiB of {disk.total / _GIB:.1f} GiB free"
    if disk.free < _LEAST_FREE_BYTES:
        text = f"{settings.DICOM_ROOT} is nearly full: {free}."
        return Check(name, ok=False, message=text, remedy="Make room on that disk.")
    text = f"{settings.DICOM_SCP_AE_TITLE} stores in {settings.DICOM_ROOT}, {free}."
    return Check(name, ok=True, message=text)


def _users() -> Check:
    name = "user accounts"
    active = User.objects.filter(is_active=True)
    administrators = [
        user
        for user in active.filter(Q(role=Role.ADMIN) | Q(is_superuser=True))
        if user.has_usable_password()
    ]
    if not administrators:
        return Check(
            name,
            ok=False,
            message="No active administrator has a password.",
            remedy="Run 'manage.py prepare_site', which makes the first one.",
        )
    lost = active.filter(facilities=None, is_superuser=False).exclude(role=Role.ADMIN).count()
    text = f"{active.count()} active users, {len(administrators)} of them administrators."
    if lost:
        text += f" {lost} belong to no facility and see nothing."
    return Check(name, ok=True, message=text)


def _facilities() -> Check:
    name = "facilities"
    active = Facility.objects.filter(is_active=True)
    titles = FacilityAE.objects.filter(facility__is_active=True).count()
    if not active.exists():
        return Check(
            name,
            ok=False,
            message="There is no active facility: every sender is refused.",
            remedy="Run 'manage.py add_facility NAME --code CODE --aet AET'.",
        )
    text = f"{active.count()} active facilities with {titles} AE titles."
    if not titles:
        text += " No scanner can send yet: add an AE title."
    return Check(name, ok=True, message=text)


def _data() -> Check:
    name = "DICOM data integrity"
    newest = DicomImage.objects.order_by("-pk")  # noqa: TID251
    wrong = [_trouble(row, is_read=True) for row in newest[:_NEWEST_READ]]
    total = newest.count()
    if total <= _MOST_ROWS:
        report = verification.verify()
        wrong += [*report.missing.items, *report.damaged.items, *report.counters.items]
        wrong += [f"{key}: a file without a row" for key in report.orphans.items]
        looked_at = f"{report.rows} instances and their files"
    else:
        wrong += [_trouble(row, is_read=False) for row in newest[:_NEWEST]]
        looked_at = f"the newest {_NEWEST} of {total} instances and their files"
    wrong += [f"{row.image.storage_key}: {row.words}" for row in damage.open_damages()[:_NEWEST]]
    wrong = [text for text in wrong if text]
    if wrong:
        text = f"{len(wrong)} things are wrong, such as: {wrong[0]}"
        return Check(name, ok=False, message=text, remedy="Run 'manage.py verify_storage --full'.")
    return Check(name, ok=True, message=f"Rows and files agree: {looked_at}.")


def _trouble(row: DicomImage, *, is_read: bool) -> str:
    store = stores.instances()
    try:
        if store.size(row.storage_key) != row.size_bytes:
            return f"{row.storage_key} has another size than was stored."
        if is_read and store.digest(row.storage_key)[0] != row.sha256:
            return f"{row.storage_key} has other content than was stored."
    except BlobMissingError:
        # A file that is gone together with its row was taken away meanwhile.
        is_gone = not DicomImage.objects.filter(pk=row.pk).exists()  # noqa: TID251
        return "" if is_gone else f"{row.storage_key} is missing."
    return ""


def _permissions() -> Check:
    name = "permissions"
    data_dir = Path(settings.DATA_DIR)
    for folder in (data_dir, settings.CONFIG.log_dir, settings.CACHE_DIR, settings.DICOM_ROOT):
        if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            text = f"{folder} cannot be read and written."
            return Check(name, ok=False, message=text, remedy=f"sudo chown -R $USER {folder}")
        if folder.stat().st_mode & stat.S_IWOTH:
            text = f"Every user of this machine may write in {folder}."
            return Check(name, ok=False, message=text, remedy=f"chmod o-w {folder}")
    for secret in (data_dir / file for file in _SECRET_FILES):
        if secret.is_file() and secret.stat().st_mode & 0o077:
            text = f"{secret} can be read by others."
            return Check(name, ok=False, message=text, remedy=f"chmod 600 {secret}")
    return Check(name, ok=True, message="Directories are writable, secrets are private.")


def _configuration() -> Check:
    name = "configuration"
    reachable = settings.CONFIG.listens_beyond_loopback
    if "*" in settings.ALLOWED_HOSTS:
        text = "ALLOWED_HOSTS=* takes any name: links in it may be forged."
        return Check(name, ok=False, message=text, remedy="Name the site's hosts.")
    if not Path(str(settings.DJANGO_VITE["default"]["manifest_path"])).is_file():
        text = "The front end is not built."
        return Check(name, ok=False, message=text, remedy="Run 'make frontend'.")
    found = django_checks.run_checks(include_deployment_checks=reachable)
    serious = [m for m in found if m.level >= django_checks.WARNING and not m.is_silenced()]
    if serious:
        worst = max(serious, key=lambda message: message.level)
        text = f"{len(serious)} remarks, such as: {worst.msg}"
        return Check(name, ok=False, message=text, remedy=worst.hint or "manage.py check --deploy")
    where = "from other machines, too" if reachable else "from this machine"
    return Check(name, ok=True, message=f"The settings hold; the site is reached {where}.")


def as_text(found: Sequence[Check]) -> str:
    """Return the checks for people."""
    lines = []
    for check in found:
        lines.append(f"{'ok    ' if check.ok else 'FAILED'}  {check.name}: {check.message}")
        if not check.ok and check.remedy:
            lines.append(f"        -> {check.remedy}")
    failed = sum(not check.ok for check in found)
    lines.append("")
    lines.append(
        f"{failed} of {len(found)} checks failed."
        if failed
        else f"All {len(found)} checks hold: the site is healthy."
    )
    return "\n".join(lines)


def as_json(found: Sequence[Check]) -> str:
    """Return the checks for programs."""
    return json.dumps(
        {
            "healthy": all(check.ok for check in found),
            "checks": [
                {"name": c.name, "ok": c.ok, "message": c.message, "remedy": c.remedy}
                for c in found
            ],
        },
        indent=2,
    )
