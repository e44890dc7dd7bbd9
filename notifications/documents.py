"""Notifications as JSON: the shapes of docs/api/events.md."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from notifications.models import Kind, Notification


def notification_document(row: Notification) -> dict[str, Any]:
    """Return one notification as pages get it."""
    return {
        "id": str(row.pk),
        "kind": row.kind,
        "kind_label": Kind(row.kind).label,
        "title": row.title,
        "body": row.body,
        "url": row.url,
        "facility": str(row.facility_id) if row.facility_id else None,
        "count": row.count,
        "created_at": moment(row.created_at),
        "last_at": moment(row.last_at),
        "read_at": moment(row.read_at) if row.read_at else None,
    }


def moment(at: datetime) -> str:
    """Return a time as ISO 8601 in UTC, to the millisecond."""
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
