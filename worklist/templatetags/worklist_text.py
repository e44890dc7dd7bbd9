"""DICOM values as people read them, and the icons of the pages."""

from __future__ import annotations

import re
from datetime import date, datetime, time, tzinfo

from django import template
from django.utils import timezone
from django.utils.formats import get_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import get_language, gettext, gettext_noop
from pydicom.uid import UID

from archive import completeness, sentences
from archive.completeness import Completeness
from archive.models import AuditEvent
from imaging import sopclass
from worklist.models import Study

register = template.Library()

_THIN_SPACE = "\u2009"
_AGE = re.compile(r"(\d{1,3})([DWMY])")
_UNITS = {
    "D": gettext_noop("d"),
    "W": gettext_noop("wk"),
    "M": gettext_noop("mo"),
    "Y": gettext_noop("y"),
}
_SIZES = ("B", "kB", "MB", "GB", "TB")


@register.filter
def person_name(value: str) -> str:
    """Write a person name family first, in every writing system it has (PS3.5 6.2.1).

    Examples
    --------
    >>> person_name("Yamada^Tarou=山田^太郎")
    'Yamada, Tarou · 山田, 太郎'
    """
    groups = []
    for group in (value or "").split("="):
        family, given, middle, prefix, suffix = (
            part.strip() for part in (*group.split("^"), "", "", "", "", "")[:5]
        )
        first = " ".join(part for part in (given, middle) if part)
        main = ", ".join(part for part in (family, first) if part)
        groups.append(" ".join(part for part in (prefix, main, suffix) if part))
    return " · ".join(group for group in groups if group) or gettext("No name")


@register.filter
def said(value: object) -> str:
    """Say a service's English sentence in the language of the page (docs/adr/0119)."""
    return value if isinstance(value, SafeString) else sentences.said(str(value or ""))


@register.filter
def sex_and_age(study: Study) -> str:
    """Write sex and age at the study, as far as the file tells: `F 45 y`."""
    found = _AGE.fullmatch(study.patient_age.strip().upper())
    age = f"{int(found[1])}{_THIN_SPACE}{gettext(_UNITS[found[2]])}" if found else study.patient_age
    if not age and study.patient_birth_date and study.study_date:
        age = _age_at(study.patient_birth_date, study.study_date)
    return " ".join(part for part in (study.patient_sex, age) if part)


def _age_at(born: date, day: date) -> str:
    months = (day.year - born.year) * 12 + day.month - born.month - (day.day < born.day)
    if months < 0:
        return ""
    if months >= 24:
        return f"{months // 12}{_THIN_SPACE}{gettext('y')}"
    return f"{months}{_THIN_SPACE}{gettext('mo')}"


@register.filter
def uid_name(value: str) -> str:
    """Write the name of a SOP class (PS3.6 A); a private one stays a UID."""
    return UID(value).name.removesuffix(" Storage")


@register.filter
def is_readable(value: str) -> bool:
    """Whether instances of a SOP class have a page that shows what they hold."""
    return sopclass.reads_as(value) is not None


@register.filter
def completeness_of(study: Study) -> Completeness | None:
    """Return what is known of the study's completeness."""
    return completeness.of(study)


_VERBS = {
    "study.look": gettext_noop("looked at the study"),
    "study.open": gettext_noop("opened it in the viewer"),
    "study.ahead": gettext_noop("had its first pictures fetched while reading another study"),
    "study.status": gettext_noop("marked it as {after}, was {before}"),
    "study.download": gettext_noop("downloaded it"),
    "study.delete": gettext_noop("deleted the {level}: {reason}"),
    "study.restore": gettext_noop("restored the {level}"),
    "conflict.look": gettext_noop("compared two contents of an image"),
    "conflict.keep_first": gettext_noop("kept the first content of an image: {reason}"),
    "conflict.keep_new": gettext_noop("chose the later content of an image: {reason}"),
    "study.retrieve": gettext_noop("fetched {instances} images by {service}"),
    "study.send": gettext_noop("had it sent to {to}"),
    "study.forward": gettext_noop("began to send it to {to}"),
    "study.forwarded": gettext_noop("sent {sent} images to {to}"),
    "study.export": gettext_noop("downloaded it for somebody else"),
    "study.view": gettext_noop("looked at its pictures"),
    "series.read": gettext_noop("read a series"),
    "image.read": gettext_noop("read an image"),
    "image.download": gettext_noop("downloaded an image"),
    "instance.mend": gettext_noop("mended a damaged file"),
    "measurement.list": gettext_noop("looked at its measurements"),
    "result.store": gettext_noop("stored results as DICOM"),
    "upload": gettext_noop("uploaded"),
    "import": gettext_noop("imported from a folder"),
    "query": gettext_noop("searched"),
    "studies.search": gettext_noop("searched the worklist"),
    "worklist.query": gettext_noop("asked for the modality worklist"),
    "study.findings": gettext_noop("looked at what programs found"),
    "study.derived": gettext_noop("looked at what is drawn over its pictures"),
    "study.analyse": gettext_noop("had it analysed"),
    "study.analysed": gettext_noop("analysed it"),
    "report.read": gettext_noop("read its report"),
    "link.make": gettext_noop("made a link to it"),
    "link.revoke": gettext_noop("withdrew a link to it"),
    "segmentation.draft": gettext_noop("drew segments"),
    "reconstruction.ask": gettext_noop("asked for a reconstruction"),
    "patient.look": gettext_noop("looked at a patient"),
    "patient.link": gettext_noop("linked two patients"),
    "patient.unlink": gettext_noop("parted two patients"),
    "patient.keep_apart": gettext_noop("decided that two patients are two"),
    "order.list": gettext_noop("looked at the orders"),
    "order.look": gettext_noop("looked at an order"),
    "order.create": gettext_noop("placed an order"),
    "order.change": gettext_noop("changed an order"),
    "order.cancel": gettext_noop("cancelled an order"),
    "order.link": gettext_noop("linked a study to an order"),
    "order.unlink": gettext_noop("parted a study from its order"),
    "workitem.list": gettext_noop("looked at the tasks"),
    "workitem.read": gettext_noop("looked at a task"),
    "session.open": gettext_noop("signed in"),
    "session.close": gettext_noop("signed out"),
    "session.refuse": gettext_noop("was not let in"),
    "password.change": gettext_noop("changed a password"),
    "second_factor.add": gettext_noop("set up a second factor"),
    "second_factor.renew": gettext_noop("got new recovery codes"),
    "second_factor.remove": gettext_noop("removed a second factor"),
    "token.create": gettext_noop("made a token"),
    "token.issue": gettext_noop("got a token"),
    "token.revoke": gettext_noop("revoked a token"),
    "user.create": gettext_noop("added a user"),
    "user.change": gettext_noop("changed a user"),
    "facility.save": gettext_noop("set up a facility"),
    "facility.change": gettext_noop("changed a facility"),
    "facility.ae_title.add": gettext_noop("let an AE title call"),
    "facility.ae_title.change": gettext_noop("changed an AE title"),
    "facility.ae_title.remove": gettext_noop("took an AE title away"),
    "facility.member.add": gettext_noop("added a member"),
    "facility.member.remove": gettext_noop("removed a member"),
    "destination.echo": gettext_noop("tried a destination"),
    "destination.remove": gettext_noop("removed a destination"),
    "rule.add": gettext_noop("added a forwarding rule"),
    "rule.on": gettext_noop("switched a forwarding rule on"),
    "rule.remove": gettext_noop("removed a forwarding rule"),
    "transmission.cancel": gettext_noop("cancelled sending"),
    "transmission.retry": gettext_noop("had it sent again"),
    "viewed.read": gettext_noop("looked at what was shown of it"),
    "viewed.export": gettext_noop("downloaded what was shown of it"),
    "analysis.list": gettext_noop("looked at the analyses"),
    "audit.look": gettext_noop("looked at the audit trail"),
    "audit.export": gettext_noop("downloaded the audit trail"),
}


@register.filter
def event_words(event: AuditEvent) -> str:
    """Write what an event of a study's history says."""
    words = _VERBS.get(event.verb)
    if words is None:
        verb = event.verb.replace(".", " ").replace("_", " ")
        return format_html('<span lang="en">{}</span>', verb)
    try:
        return gettext(words).format(**event.detail)
    except (KeyError, TypeError):
        return format_html('<span lang="en">{}</span>', event.verb)


@register.filter
def in_sentence(words: str) -> str:
    """Write a label inside a sentence: with a small letter, where the language has it so."""
    return words if get_language() == "de" else f"{words[:1].lower()}{words[1:]}"


@register.filter
def grouped(number: int) -> str:
    """Write a number with thin spaces between its groups: 12 345."""
    return f"{number:,}".replace(",", _THIN_SPACE)


@register.filter
def lasting(shown_ms: int) -> str:
    """Write how long something took, with the two units that matter: 3 min 20 s.

    Examples
    --------
    >>> lasting(200_400)
    '3\u2009min 20\u2009s'
    """
    seconds = round(shown_ms / 1000)
    if not seconds and shown_ms:
        return f"<{_THIN_SPACE}1{_THIN_SPACE}s"
    parts = (
        ((seconds, "s"),)
        if seconds < 60
        else ((seconds // 60, "min"), (seconds % 60, "s"))
        if seconds < 3600
        else ((seconds // 3600, "h"), (seconds % 3600 // 60, "min"))
    )
    return " ".join(f"{number}{_THIN_SPACE}{unit}" for number, unit in parts)


@register.filter
def less(number: int, other: int) -> int:
    """Take a number from another one; below nothing there is nothing."""
    return max(number - other, 0)


@register.filter
def file_size(size_bytes: int) -> str:
    """Write a size with three digits that matter: 1.23 GB."""
    size, steps = float(size_bytes), 0
    while size >= 1000 and steps < len(_SIZES) - 1:
        size, steps = size / 1000, steps + 1
    unit = _SIZES[steps]
    digits = 0 if unit == "B" or size >= 100 else 1
    number = f"{size:.{digits}f}".replace(".", get_format("DECIMAL_SEPARATOR"))
    return f"{number}{_THIN_SPACE}{unit}"


@register.filter
def dicom_moment(day: date | None, at: time | None) -> str:
    """Write a date and time as the equipment gave them; they carry no zone."""
    if day is None:
        return ""
    return f"{day:%Y-%m-%d} {at:%H:%M}" if at is not None else f"{day:%Y-%m-%d}"


@register.simple_tag
def moment(at: datetime | None, zone: tzinfo, *, form: str = "full") -> SafeString | str:
    """Write an instant in the reader's zone; to the second and with its zone in the title.

    `form` is `full`, `second` or `age`; pages turn the last into "3 min" and keep it right.
    """
    if at is None:
        return gettext("never")
    local = timezone.localtime(at, zone)
    return format_html(
        '<time datetime="{}" data-form="{}" title="{}">{}</time>',
        at.isoformat(),
        form,
        local.strftime("%Y-%m-%d %H:%M:%S %Z"),
        local.strftime("%Y-%m-%d %H:%M:%S" if form == "second" else "%Y-%m-%d %H:%M"),
    )


@register.simple_tag
def icon(name: str, label: str = "") -> SafeString:
    """Draw an icon of the sprite; without a label it is decoration beside its word."""
    if label:
        return format_html(
            '<svg class="icon" role="img" aria-label="{}"><use href="#i-{}"></use></svg>',
            label,
            name,
        )
    return format_html('<svg class="icon" aria-hidden="true"><use href="#i-{}"></use></svg>', name)
