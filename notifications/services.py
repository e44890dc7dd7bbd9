"""Telling people things: who is told, what is read, what they want to hear."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts.models import Role, User
from archive import cursors, outbox
from archive.errors import ForbiddenError, InvalidInputError, NotFoundError
from notifications.models import Kind, Notification, NotificationPart, NotificationPreference
from worklist.models import Facility

MOST_PER_PAGE = 100
KEEP_READ = timedelta(days=90)
# What comes within this time of the last of its kind joins it, until that was read.
TOGETHER = timedelta(minutes=10)

# Who is told of a kind without having said anything. Referrers and guests look things up; they are
# told only what they ask for.
_TOLD_BY_DEFAULT: dict[str, frozenset[str]] = {
    Kind.STUDY_NEW: frozenset({Role.ADMIN, Role.RADIOLOGIST, Role.TECHNOLOGIST, Role.FACILITY}),
    Kind.STUDY_CONFLICT: frozenset({Role.ADMIN, Role.TECHNOLOGIST, Role.FACILITY}),
    Kind.STUDY_WARNING: frozenset({Role.ADMIN, Role.RADIOLOGIST, Role.TECHNOLOGIST}),
    Kind.CALLER_REFUSED: frozenset({Role.ADMIN}),
    Kind.SITE_ALERT: frozenset({Role.ADMIN}),
}
# What only administrators may hear of, whatever a preference says.
_ADMINISTRATORS_ONLY = frozenset({Kind.CALLER_REFUSED, Kind.SITE_ALERT})


@dataclass(frozen=True, slots=True)
class Together:
    """How several of a kind are told in one line.

    `title` gets their number, `url` the moment since which there are any.
    """

    title: Callable[[int], str]
    body: str
    url: Callable[[datetime], str]


@dataclass(frozen=True, slots=True)
class Message:
    """What is told; `key` names what it is about, so that nobody is told twice.

    With `together`, what is told of one facility shortly after each other becomes one
    notification that counts; `since` is when this one began.
    """

    kind: Kind
    key: str
    title: str
    body: str = ""
    url: str = ""
    facility_id: UUID | None = None
    since: datetime | None = None
    together: Together | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Notifications, newest first; `cursor` leads on and is empty at the end."""

    items: list[Notification]
    cursor: str


@dataclass(frozen=True, slots=True)
class Choice:
    """One line of the preferences page."""

    kind: Kind
    is_in_app: bool

    @property
    def help(self) -> str:
        """When one is told, in a sentence."""
        return _HELP[self.kind]


_HELP: dict[Kind, str] = {
    Kind.STUDY_NEW: "When nothing more of it has come for three seconds; studies that one facility "
    "sends shortly after each other are one notification that counts them.",
    Kind.STUDY_CONFLICT: "An image came again with other content and waits for a decision.",
    Kind.STUDY_WARNING: "Something a reader must know, such as values that are not in HU.",
    Kind.SITE_ALERT: "A disk fills, a backup is late, a sender is silent, a certificate ends.",
    Kind.CALLER_REFUSED: "Equipment that is not known called, and waits to be admitted.",
}


def notify(message: Message) -> list[Notification]:
    """Tell everybody concerned once; returns what is new. Each gets an event for their pages.

    Who has not read the last of this kind from this facility gets no new notification while it
    is fresh: that one then tells of one more.
    """
    with transaction.atomic():
        if message.facility_id is not None:
            # Told at the same time, two studies must find each other's notification.
            list(Facility.objects.select_for_update(no_key=True).filter(pk=message.facility_id))
        already = _already_told(message)
        people = [
            user for user in recipients(message.kind, message.facility_id) if user.pk not in already
        ]
        joined = _join(message, people)
        rows = [
            Notification(
                user=user,
                kind=message.kind,
                key=message.key[:128],
                title=message.title[:128],
                body=message.body[:512],
                url=message.url[:255],
                facility_id=message.facility_id,
                since=message.since,
            )
            for user in people
            if user.pk not in joined
        ]
        Notification.objects.bulk_create(rows)
        for row in rows:
            outbox.record(
                outbox.NotificationCreated(
                    notification_id=row.pk, user_id=row.user_id, facility_id=message.facility_id
                )
            )
        Notification.objects.filter(
            user__in=[row.user_id for row in rows], read_at__lt=timezone.now() - KEEP_READ
        ).delete()
    return rows


def _already_told(message: Message) -> set[UUID]:
    """Return who was told of this, in a notification of its own or in one of several."""
    about = {"kind": message.kind, "key": message.key[:128]}
    told = set(Notification.objects.filter(**about).values_list("user_id", flat=True))
    told.update(NotificationPart.objects.filter(**about).values_list("user_id", flat=True))
    return told


def _join(message: Message, people: list[User]) -> set[UUID]:
    """Let fresh unread notifications tell of this too; returns whose did."""
    together, now = message.together, timezone.now()
    if together is None or message.facility_id is None:
        return set()
    latest: dict[UUID, Notification] = {}
    fresh = Notification.objects.select_for_update(of=("self",)).filter(
        user__in=people,
        kind=message.kind,
        facility=message.facility_id,
        read_at=None,
        last_at__gte=now - TOGETHER,
    )
    for row in fresh.order_by("last_at", "id"):
        latest[row.user_id] = row
    for row in latest.values():
        row.count += 1
        row.last_at = now
        row.since = min(at for at in (row.since, message.since, now) if at is not None)
        row.title = together.title(row.count)[:128]
        row.body = together.body[:512]
        row.url = together.url(row.since)[:255]
    Notification.objects.bulk_update(
        latest.values(), ["count", "last_at", "since", "title", "body", "url"]
    )
    NotificationPart.objects.bulk_create(
        [
            NotificationPart(
                notification=row, user_id=user_id, kind=message.kind, key=message.key[:128]
            )
            for user_id, row in latest.items()
        ]
    )
    for user_id, row in latest.items():
        outbox.record(
            outbox.NotificationGrown(
                notification_id=row.pk, user_id=user_id, facility_id=message.facility_id
            )
        )
    return set(latest)


def recipients(kind: Kind, facility_id: UUID | None) -> list[User]:
    """Return who is told of `kind` at a facility: its members and administrators who want it."""
    administrators = Q(is_superuser=True) | Q(role=Role.ADMIN)
    concerned = administrators
    if kind not in _ADMINISTRATORS_ONLY and facility_id is not None:
        concerned |= Q(facilities=facility_id)
    users = User.objects.filter(concerned, is_active=True).distinct()
    wishes = dict(
        NotificationPreference.objects.filter(kind=kind).values_list("user_id", "is_in_app")
    )
    return [user for user in users if wishes.get(user.pk, is_told_by_default(user, kind))]


def is_told_by_default(user: User, kind: Kind) -> bool:
    """Whether somebody who never chose is told of `kind`."""
    return user.is_administrator or user.role in _TOLD_BY_DEFAULT[kind]


def unread_count(user_id: UUID) -> int:
    """Return how many notifications a person has not read."""
    return Notification.objects.filter(user=user_id, read_at=None).count()


def listing(user: User, *, is_unread: bool = False, limit: int = 50, cursor: str = "") -> Page:
    """Return a page of a person's notifications, newest first.

    Raises
    ------
    InvalidInputError
        For a limit out of range or a cursor that is not ours.
    """
    if not 1 <= limit <= MOST_PER_PAGE:
        raise InvalidInputError(f"'limit' is a number from 1 to {MOST_PER_PAGE}.")
    rows: QuerySet[Notification] = Notification.objects.filter(user=user)
    if is_unread:
        rows = rows.filter(read_at=None)
    if cursor:
        at, last_id = _parse_cursor(cursor)
        rows = rows.filter(Q(last_at__lt=at) | Q(last_at=at, pk__lt=last_id))
    items = list(rows.order_by("-last_at", "-id")[: limit + 1])
    has_more = len(items) > limit
    items = items[:limit]
    return Page(items=items, cursor=_cursor(items[-1]) if has_more else "")


def mark_read(user: User, notification_id: UUID) -> Notification:
    """Mark one notification read; harmless when it already is.

    Raises
    ------
    NotFoundError, ForbiddenError
    """
    row = Notification.objects.filter(pk=notification_id).first()
    if row is None:
        raise NotFoundError("There is no such notification.")
    if row.user_id != user.pk:
        raise ForbiddenError("This notification is somebody else's.")
    with transaction.atomic():
        unread = Notification.objects.filter(pk=row.pk, read_at=None)
        if unread.update(read_at=timezone.now()):
            outbox.record(outbox.NotificationRead(user_id=user.pk))
    row.refresh_from_db()
    return row


def mark_all_read(user: User) -> int:
    """Mark everything read; returns how many were not."""
    with transaction.atomic():
        count = Notification.objects.filter(user=user, read_at=None).update(read_at=timezone.now())
        if count:
            outbox.record(outbox.NotificationRead(user_id=user.pk))
    return count


def choices_of(user: User) -> list[Choice]:
    """Return what a person may choose, as it stands."""
    wishes = dict(NotificationPreference.objects.filter(user=user).values_list("kind", "is_in_app"))
    return [
        Choice(kind=kind, is_in_app=wishes.get(kind, is_told_by_default(user, kind)))
        for kind in Kind
        if user.is_administrator or kind not in _ADMINISTRATORS_ONLY
    ]


def choose(user: User, wishes: Mapping[Kind, bool]) -> None:
    """Keep what a person chose.

    Raises
    ------
    ForbiddenError
        For a kind that is for administrators alone.
    """
    allowed = {choice.kind for choice in choices_of(user)}
    if not allowed.issuperset(wishes):
        raise ForbiddenError("Only administrators are told of this kind.")
    NotificationPreference.objects.bulk_create(
        [
            NotificationPreference(user=user, kind=kind, is_in_app=is_in_app)
            for kind, is_in_app in wishes.items()
        ],
        update_conflicts=True,
        unique_fields=["user", "kind"],
        update_fields=["is_in_app"],
    )


def unread_counts(user_ids: Iterable[UUID]) -> dict[UUID, int]:
    """Return the unread counts of several people with one query."""
    counts = dict.fromkeys(user_ids, 0)
    rows = Notification.objects.filter(user__in=list(counts), read_at=None)
    for user_id in rows.values_list("user_id", flat=True):
        counts[user_id] += 1
    return counts


def _cursor(last: Notification) -> str:
    return cursors.pack(last.last_at.isoformat(), last.pk)


def _parse_cursor(cursor: str) -> tuple[datetime, UUID]:
    at, last_id = cursors.unpack(cursor)
    return cursors.moment(at), last_id
