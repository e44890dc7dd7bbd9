"""What every request passes: who are you, may you, is it your turn; then work in a thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar
from uuid import UUID

from anyio import to_thread
from cachetools import TTLCache
from django.db import connections
from starlette.requests import HTTPConnection, Request

from accounts import shares
from archive import access, audit
from archive import database as db
from archive.access import Actor
from archive.errors import ForbiddenError, NotFoundError
from fastapi_app import auth, limits
from worklist.models import DicomImage, Series, Study

T = TypeVar("T")

# Rows that frames are served from change only when an image is deleted or found undecodable; that
# is felt this much later.
_ROW_KEPT_S = 2.0
# One audit event a study and person in this time, however many pictures are fetched.
_VIEW_KEPT_S = 600.0

_rows: TTLCache[UUID, DicomImage] = TTLCache(maxsize=20_000, ttl=_ROW_KEPT_S)
# Older ones are good again when a glance at the database says that nothing has changed.
_older: TTLCache[UUID, DicomImage] = TTLCache(maxsize=2_000, ttl=600.0)
_viewed: TTLCache[tuple[UUID | None, UUID], bool] = TTLCache(maxsize=20_000, ttl=_VIEW_KEPT_S)
_lock = threading.Lock()


def address_of(connection: HTTPConnection) -> str | None:
    """Return the sender's address; behind a Unix socket there is none."""
    return connection.client.host if connection.client else None


def origin_of(request: Request) -> str:
    """Return under which name the site is asked; `Edge` has let lawful ones alone pass."""
    return f"{request.url.scheme}://{request.url.netloc}"


async def serve(request: Request, work: Callable[[Actor], T]) -> T:
    """Do a request's work in a thread, for the actor who sent it.

    Raises
    ------
    NotSignedInError
        Without an identity.
    ForbiddenError
        For a change that another site's page asks for.
    TooManyAttemptsError
        Past the person's share of requests.
    """
    headers = request.headers
    credential = auth.credential_of(headers.get("authorization"), headers.get("cookie"))
    if credential is None:
        raise auth.NotSignedInError(auth.NOBODY)
    address = address_of(request)

    def in_thread() -> T:
        with database():
            try:
                caller = auth.caller_of(credential, address)
            except (auth.NotSignedInError, ForbiddenError):
                shares.count_stranger(address)
                raise
            auth.check_origin(request.scope, caller)
            auth.check_door(request.scope, caller)
            auth.check_may_change(request.scope, caller)
            if caller.actor.key is not None:
                shares.count_person(caller.actor.key)
            return work(caller.actor)

    async with limits.turn_of(credential.name):
        return await to_thread.run_sync(in_thread)


async def serve_linked(
    request: Request, owner: Callable[[str | None], Actor], work: Callable[[Actor], T]
) -> T:
    """Do a request's work in a thread, for whoever made the link that it carries.

    Parameters
    ----------
    owner : returns who that is, from the sender's address; refuses a link that is none

    Raises
    ------
    ForbiddenError, NotFoundError, TooManyAttemptsError
    """
    address = address_of(request)

    def in_thread() -> T:
        with database():
            try:
                actor = owner(address)
            except ForbiddenError:
                shares.count_stranger(address)
                raise
            if actor.user_id is not None:
                shares.count_person(actor.user_id)
            return work(actor)

    async with limits.turn_of(f"link {address}".encode()):
        return await to_thread.run_sync(in_thread)


async def go_on(request: Request, work: Callable[[], T]) -> T:
    """Do a further piece of the work of a request that `serve` has admitted, in a thread.

    It waits its turn among the caller's requests, so that one sender's streams do not take all
    threads.
    """

    def in_thread() -> T:
        with database():
            return work()

    headers = request.headers
    credential = auth.credential_of(headers.get("authorization"), headers.get("cookie"))
    if credential is None:
        raise auth.NotSignedInError(auth.NOBODY)
    async with limits.turn_of(credential.name):
        return await to_thread.run_sync(in_thread)


async def admit(request: Request) -> None:
    """Refuse a stranger before the body of the request is read; see :func:`serve`."""
    await serve(request, lambda _: None)


@contextmanager
def database() -> Iterator[None]:
    """Have a connection for a piece of work in a thread, and leave none behind.

    Of a server's connections one is lent. A file's belongs to the thread and stays open, which
    saves 2 ms a request, unless something went wrong with it.
    """
    if db.is_on_server():
        with db.serving():
            yield
        return
    _tidy()
    try:
        yield
    finally:
        _tidy()


def _tidy() -> None:
    for connection in connections.all(initialized_only=True):
        if connection.errors_occurred:
            connection.close_if_unusable_or_obsolete()


def known_image(key: UUID) -> DicomImage | None:
    """Return an image that was looked up within the last seconds, whosever it is."""
    with _lock:
        return _rows.get(key)


def image_for(actor: Actor, text: str) -> DicomImage:
    """Return an image in scope by our id or its SOP Instance UID, and note that it is looked at."""
    key = access.parse_key(text, what="image")
    image = (known_image(key) or _confirmed(key)) if isinstance(key, UUID) else None
    if image is None or not actor.scope.includes_study(image.series.study):
        image = access.image_for(actor.scope, key)
        remember(image)
    note_view(actor, image.series.study)
    return image


def _confirmed(key: UUID) -> DicomImage | None:
    """Return an image that was looked up within the last minutes and has not changed since."""
    with _lock:
        image = _older.get(key)
    if image is None:
        return None
    if access.is_current(image):
        with _lock:
            _rows[key] = image
        return image
    with _lock:
        _older.pop(key, None)
    return None


def images_for(actor: Actor, keys: list[UUID]) -> dict[UUID, DicomImage | Exception]:
    """Return images in scope, and an error for each of the others."""
    rows = access.images_for(actor.scope, keys)
    for study in {row.series.study for row in rows.values()}:
        note_view(actor, study)
    found: dict[UUID, DicomImage | Exception] = {**rows}
    for key in keys:
        if key in rows:
            remember(rows[key])
            continue
        try:
            found[key] = access.image_for(actor.scope, key)
        except (NotFoundError, ForbiddenError) as error:
            found[key] = error
    return found


def remember(image: DicomImage) -> None:
    """Keep a row for the next frames of it."""
    with _lock:
        _rows[image.pk] = image
        _older[image.pk] = image


def forget() -> None:
    """Forget rows and views; they are looked up and audited again."""
    with _lock:
        _rows.clear()
        _older.clear()
        _viewed.clear()


def has_viewed(actor: Actor, study_id: UUID) -> bool:
    """Whether the person's look at the study is in the audit trail already."""
    with _lock:
        return (actor.key, study_id) in _viewed


def note_view(actor: Actor, study: Study) -> None:
    """Write into the audit trail that a person looks at a study, once in ten minutes."""
    if has_viewed(actor, study.pk):
        return
    audit.note_read(actor, "study.view", study, by="api")
    with _lock:
        _viewed[actor.key, study.pk] = True


def study_for(actor: Actor, text: str) -> Study:
    """Return a study in scope by our id or its UID, and note that it is looked at."""
    study = access.study_for(actor.scope, access.parse_key(text))
    note_view(actor, study)
    return study


def series_for(actor: Actor, text: str) -> Series:
    """Return a series in scope by our id or its UID, and note that its study is looked at."""
    series = access.series_for(actor.scope, access.parse_key(text, what="series"))
    note_view(actor, series.study)
    return series
