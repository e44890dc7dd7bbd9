"""Nothing of the pages stays English: all of them in a language that puts brackets around itself.

Its catalogues are made of all messages; its facility, people and patients are called in Greek. An
English word outside of brackets was written past the catalogues. What scripts write is
tests/browser/test_languages.py's.
"""

from __future__ import annotations

import json
import re
import runpy
from collections.abc import Iterator
from html.parser import HTMLParser
from http import HTTPStatus
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from django.test import Client, override_settings

from accounts.models import Role, User
from archive import access, sentences
from archive.links import LinkDraft, share
from archive.models import Alert, AlertLevel, Destination, LinkPurpose
from notifications.models import Kind
from notifications.services import Message, notify
from tests import factories
from tests.apps.orders.test_pages import make_order
from tests.dicom import make_instance, to_bytes
from tests.doors.test_site_access import ROUTES, Place, address
from worklist.models import DicomImage, Facility, Study

pytestmark = pytest.mark.django_db

_SCRIPT = Path(__file__).parents[2] / "scripts" / "messages.py"
# Words, as people write them; CODES, AE_TITLES, keys such as Ctrl and Esc are no language's.
_WORD = re.compile(r"\b[A-Z]?[a-z]{3,}\b")
_SPOKEN = ("title", "aria-label", "placeholder", "alt", "data-label", "data-confirm")
_SILENT = {"script", "style", "code", "kbd", "svg", "option", "time"}
# Names: of the product and its parts, of standards, programs, time zones and languages.
_NAMES = {
    "NoctisPro", "Ctrl", "Esc", "OHIF", "manage", "verify", "storage", "localhost", "example",
    "mod", "date", "name", "acc", "today", "yesterday", "none", "owner", "administrator",
    "English", "Deutsch", "Kiswahili", "Europe", "Berlin", "https", "org", "jobs", "testserver",
    "tests", "order", "facility", "Image",
    "chest", "thorax", "lung", "pulmo", "head", "brain", "skull", "kopf", "cerv", "crane",
    "Bone", "and", "volumes",
}  # fmt: skip


class _Words(HTMLParser):
    """Collects what a page says outside of brackets, and of what is in a language of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._depth = 0
        self._silent: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag in _SILENT or ("lang" in values and tag != "html") or tag in self._silent:
            self._silent.append(tag)
        for name in _SPOKEN:
            text = values.get(name)
            if text and not self._depth and not self._silent:
                while (shorter := re.sub(r"⟦[^⟦⟧]*⟧", "", text)) != text:
                    text = shorter
                self.found += _words(text)

    def handle_endtag(self, tag: str) -> None:
        if self._silent and self._silent[-1] == tag:
            self._silent.pop()

    def handle_data(self, data: str) -> None:
        # What is quoted is somebody's, such as the descriptions that a layout looks for.
        for part in re.split(r"([⟦⟧])", re.sub(r"“[^“”]*”", "", data)):
            if part == "⟦":
                self._depth += 1
            elif part == "⟧":
                self._depth -= 1
            elif not self._depth and not self._silent:
                self.found += _words(part)


def _words(text: str) -> list[str]:
    return [word for word in _WORD.findall(text) if word not in _NAMES]


@pytest.fixture
def bracketed(tmp_path: Path) -> Iterator[None]:
    """A language of all messages of pages and services, each in brackets; its code is German's."""
    script = runpy.run_path(str(_SCRIPT))
    catalogue = Catalog(locale="de")
    for key in script["page_messages"]():
        context, text = script["_parted"](key if isinstance(key, str) else key[0])
        plural = None if isinstance(key, str) else tuple(f"⟦{one}⟧" for one in key)
        catalogue.add(text if isinstance(key, str) else key, plural or f"⟦{text}⟧", context=context)
    folder = tmp_path / "locale" / "de" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    with (folder / "django.mo").open("wb") as file:
        write_mo(file, catalogue)
    (folder.parent / "sentences.json").write_text(
        json.dumps({text: f"⟦{text}⟧" for text in script["sentences"]()})
    )
    with override_settings(LOCALE_PATHS=[tmp_path / "locale"]):
        sentences.forget()
        yield
    sentences.forget()


@pytest.fixture
def place(store: Path) -> Place:
    """Everything that pages list, named in Greek."""
    north = factories.facility("ALPHA", "Κλινική", ae_titles=["CT_ALPHA"])
    access.site_facility()
    Facility.objects.exclude(pk=north.pk).update(name="Τόπος")
    words = {
        "PatientName": "Παππάς^Άννα",
        "SpecificCharacterSet": "ISO_IR 192",
        "PatientID": "Α1",
        "StudyDescription": "κεφαλή",
        "SeriesDescription": "άξονας",
        "AccessionNumber": "Π2",
    }
    factories.store_bytes(to_bytes(make_instance(**words)), north)
    image = DicomImage.objects.select_related("series__study").get()
    study = image.series.study
    Study.objects.filter(pk=study.pk).update(warning="Values may not be Hounsfield units.")
    admin = factories.user("διαχειριστής", Role.ADMIN, [north])
    order = make_order(north, patient_name="Παππάς^Νίκος", description="εξέταση")
    destination = Destination.objects.create(
        facility=north, ae_title="ALPHA_OUT", host="127.0.0.1", port=104
    )
    link = share(access.actor_of(admin), study.pk, LinkDraft(purpose=LinkPurpose.VIEW)).link
    Alert.objects.create(
        level=AlertLevel.WARN,
        text="The last good backup is 3 days old.",
        remedy="Start the worker.",
    )
    notify(
        Message(
            kind=Kind.STUDY_WARNING, key="1", title="Warning on a CT study",
            body="Κλινική: Values may not be Hounsfield units.",
        )
    )  # fmt: skip
    return Place(
        north,
        {
            "study_id": study.pk,
            "series_id": image.series_id,
            "image_id": image.pk,
            "facility_id": north.pk,
            "order_id": order.pk,
            "user_id": admin.pk,
            "destination_id": destination.pk,
            "link_id": link.pk,
            "path": "viewer",
            "side": "stored",
        },
    )


@pytest.mark.usefixtures("bracketed")
def test_no_page_says_an_english_word_past_the_catalogues(place: Place) -> None:
    client = Client(headers={"accept": "text/html", "accept-language": "de"})
    client.force_login(User.objects.get(role=Role.ADMIN))
    walked, found = 0, []
    for route in ROUTES:
        if route.name in {"accounts:logout", "accounts:password-change"}:
            continue  # the last one has Django's own words, which are German here
        if route.name.startswith("ohif"):
            continue  # OHIF's own pages, where it is installed
        answer = client.get(address(route, place))
        is_page = "html" in answer.headers.get("Content-Type", "")
        if not is_page or answer.streaming or answer.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            continue
        walked += 1
        page = _Words()
        page.feed(answer.content.decode())
        found += [f"{route.name}: {word}" for word in dict.fromkeys(page.found)]
    assert walked > 40
    assert found == [], "\n".join(found)


@pytest.mark.usefixtures("bracketed")
def test_the_pages_of_strangers_say_none_either(db: None) -> None:
    client = Client(headers={"accept": "text/html", "accept-language": "de"})
    for path in ("/accounts/login/", "/shared/", "/offline/", "/nowhere/"):
        answer = client.get(path, follow=True)
        page = _Words()
        page.feed(answer.content.decode())
        assert page.found == [], path
