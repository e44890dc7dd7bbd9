"""The second factor: six digits of an app (TOTP, RFC 6238), or a recovery code.

The devices are django-otp's. The limit on wrong codes is `accounts.throttle`'s, like that on
passwords: django-otp's own counts for the account alone, so a stranger could lock the owner out.
"""

from __future__ import annotations

import hashlib
import secrets
from base64 import b32encode

import segno
from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django_otp.plugins.otp_totp.models import TOTPDevice

from accounts import throttle
from accounts.models import RecoveryCode, User
from archive import audit
from archive.access import Actor
from archive.errors import ConflictError, InvalidInputError

OPTIONAL, ADMINISTRATORS, EVERYBODY = "optional", "administrators", "everybody"
RECOVERY_CODES = 10
_WRONG = "This code is wrong, or it was used already. Wait for the next one of your app."


def is_set_up(user: User) -> bool:
    """Whether a code is asked for after the password."""
    return _devices(user).filter(confirmed=True).exists()


def without(users: QuerySet[User]) -> QuerySet[User]:
    """Narrow to those whose password alone opens something."""
    return users.exclude(pk__in=TOTPDevice.objects.filter(confirmed=True).values("user_id"))


def is_required(user: User) -> bool:
    """Whether the site wants one from this person (`NOCTIS_SECOND_FACTOR`)."""
    wanted: str = settings.SECOND_FACTOR
    return wanted == EVERYBODY or (wanted == ADMINISTRATORS and user.is_administrator)


def stands_before(user: User) -> bool:
    """Whether a password alone opens nothing."""
    return is_required(user) or is_set_up(user)


def begin(user: User) -> TOTPDevice:
    """Return the device that is being set up, made anew if there is none yet.

    Raises
    ------
    ConflictError
        When the person has one in use.
    """
    if is_set_up(user):
        raise ConflictError("You have a second factor already. Remove it first.")
    device = _devices(user).filter(confirmed=False).first()
    return device or _devices(user).create(user=user, name="app", confirmed=False)


def confirm(actor: Actor, user: User, code: str) -> list[str]:
    """Put the device that is being set up in use, with a code of it; returns recovery codes.

    Raises
    ------
    InvalidInputError
        For a wrong code.
    TooManyAttemptsError
    ConflictError
        When there is one in use.
    """
    begin(user)
    _count(user, actor.address)
    with transaction.atomic():
        device = _devices(user).select_for_update().get(confirmed=False)
        if not device.verify_token(_digits(code)):
            raise InvalidInputError(_WRONG)
        device.confirmed = True
        device.save(update_fields=["confirmed"])
        audit.record(actor, "second_factor.add", user)
        codes = _new_codes(user)
    throttle.forgive(_name(user), actor.address)
    return codes


def check(user: User, code: str, *, address: str | None) -> str:
    """Return what was used, `app` or `recovery code`; neither is good a second time.

    Raises
    ------
    InvalidInputError
        For a wrong code.
    TooManyAttemptsError
        After ten wrong ones within a minute for this account from this address.
    """
    _count(user, address)
    with transaction.atomic():
        used = _use(user, code)
    if not used:
        raise InvalidInputError(_WRONG)
    throttle.forgive(_name(user), address)
    return used


def renew_codes(actor: Actor, user: User, code: str) -> list[str]:
    """Return new recovery codes; those of before open nothing any more.

    Raises
    ------
    InvalidInputError, TooManyAttemptsError
        As `check`.
    """
    check(user, code, address=actor.address)
    with transaction.atomic():
        audit.record(actor, "second_factor.renew", user)
        return _new_codes(user)


def remove(actor: Actor, user: User) -> bool:
    """Take a person's second factor away; False when there was none."""
    with transaction.atomic():
        had_one = is_set_up(user)
        _devices(user).delete()
        RecoveryCode.objects.filter(user=user).delete()
        if had_one:
            audit.record(actor, "second_factor.remove", user)
    return had_one


def codes_left(user: User) -> int:
    """Return how many recovery codes were not used yet."""
    return RecoveryCode.objects.filter(user=user, used_at=None).count()


def picture_of(device: TOTPDevice) -> str:
    """Return the QR code that apps read, as an SVG element."""
    code = segno.make(device.config_url, error="m")
    return code.svg_inline(scale=5, border=4, dark="#000", light="#fff", omitsize=True)


def text_of(device: TOTPDevice) -> str:
    """Return the secret as people type it: groups of four letters."""
    text = b32encode(device.bin_key).decode()
    return " ".join(text[start : start + 4] for start in range(0, len(text), 4))


def _devices(user: User) -> QuerySet[TOTPDevice]:
    found: QuerySet[TOTPDevice] = TOTPDevice.objects.filter(user=user)
    return found


def _use(user: User, code: str) -> str:
    device = _devices(user).select_for_update().filter(confirmed=True).first()
    if device is None:
        return ""
    if (digits := _digits(code)) and device.verify_token(digits):
        return "app"
    known = RecoveryCode.objects.filter(user=user, digest=_digest(code), used_at=None)
    return "recovery code" if known.update(used_at=timezone.now()) else ""


def _digits(code: str) -> str:
    bare = "".join(code.split())
    return bare if len(bare) == 6 and bare.isascii() and bare.isdigit() else ""


def _new_codes(user: User) -> list[str]:
    RecoveryCode.objects.filter(user=user).delete()
    codes = [_new_code() for _ in range(RECOVERY_CODES)]
    RecoveryCode.objects.bulk_create(
        RecoveryCode(user=user, digest=_digest(code)) for code in codes
    )
    return codes


def _new_code() -> str:
    """Return 80 random bits in groups of four letters: no guess ever meets one."""
    text = b32encode(secrets.token_bytes(10)).decode().lower()
    return "-".join(text[start : start + 4] for start in range(0, len(text), 4))


def _digest(code: str) -> str:
    bare = "".join(c for c in code.lower() if c.isalnum())
    return hashlib.sha256(bare.encode()).hexdigest()


def _name(user: User) -> str:
    # A count of its own: the password before it was right.
    return f"{user.username}\0code"


def _count(user: User, address: str | None) -> None:
    throttle.count_attempt(_name(user), address)
