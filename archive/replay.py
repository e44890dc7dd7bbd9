"""What the journal of a process that died says, brought into the layout (`blobs.journal`).

After a kill every file is as it was written; after a power cut some have lost content or name,
which the journal has. A record whose row was committed gets its file back. One without a row was
never answered: its file is taken back, so that sending it again finds nothing half done.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

from archive import stores
from blobs import FileSystemStore, journal
from blobs.journal import Record
from worklist.models import DicomImage

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Replayed:
    """What a journal's file held.

    Attributes
    ----------
    restored : files that were missing or wrong and are whole again
    taken_back : files that no row names
    """

    restored: int = 0
    taken_back: int = 0


def replay(path: Path) -> Replayed:
    """Bring into order what one file of a journal names; afterwards it may be removed.

    Raises
    ------
    OSError, DatabaseError
        When the disk or the database takes nothing now: the journal is still needed.
    """
    done = Replayed()
    store = stores.instances()
    # Of a key that was used again, the last file counts.
    found = {record.key: record for record in journal.records(path)}
    digests = dict(
        DicomImage.with_deleted.filter(storage_key__in=list(found)).values_list(
            "storage_key", "sha256"
        )
    )
    for key, record in found.items():
        if key in digests:
            done.restored += _restore(store, record, digests[key])
        else:
            done.taken_back += _take_back(store, record)
    if found:
        store.make_durable([key for key in found if key in digests])
    if done.restored:
        logger.warning("Restored %d files from the journal of a receiver that died", done.restored)
    return done


def _restore(store: FileSystemStore, record: Record, sha256: str) -> bool:
    target = store.place(record.key)
    try:
        if target.stat().st_size == len(record.content) and target.read_bytes() == record.content:
            return False
    except FileNotFoundError:
        pass
    # The row may be another's, or have got another file since: then this is no longer its content.
    if hashlib.sha256(record.content).hexdigest() != sha256:
        return False
    store.restore(record.key, record.content)
    return True


def _take_back(store: FileSystemStore, record: Record) -> bool:
    """Remove the file that was made for a record, and no other one under the same key."""
    try:
        status = store.place(record.key).stat()
    except FileNotFoundError:
        return False
    # What another door has under way is linked from the spool too, and never empty.
    is_its_own = (
        status.st_ino == record.inode if record.inode else status.st_size == 0
    ) and status.st_nlink == 1
    if record.is_void or not is_its_own:
        return False
    store.withdraw(record.key)
    return True
