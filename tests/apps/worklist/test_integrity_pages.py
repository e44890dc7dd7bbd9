"""The pages of conflicts and deletions: who sees them, what their forms do, what they say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from accounts.models import User
from archive import deletions
from archive.access import actor_of
from archive.models import Deletion, InstanceConflict
from tests import factories
from tests.dicom import make_instance, to_bytes
from worklist.models import DicomImage, Facility, Series, Study

pytestmark = pytest.mark.django_db

WHY = "Wrong <b>patient</b>"


@pytest.fixture(autouse=True)
def forget_state() -> None:
    cache.clear()


@pytest.fixture
def study(store: Path, facility: Facility) -> Study:
    """A study with an image that came again with other content."""
    ds = make_instance(PatientName="Mueller^Anna")
    factories.store_bytes(to_bytes(ds), facility)
    ds.PatientName = "<script>alert(1)</script>"
    factories.store_bytes(to_bytes(ds), facility)
    return Study.objects.get()


def page(client: Client, name: str, *args: Any, **query: str) -> str:
    answer = client.get(reverse(f"worklist:{name}", args=args), query)
    assert answer.status_code == 200
    return answer.content.decode()


def test_empty_pages_say_what_would_be_there(admin: Client, store: Path) -> None:
    assert "Nothing to decide" in page(admin, "conflict-list")
    assert "Nothing was decided yet" in page(admin, "conflict-list", state="decided")
    assert "Nothing is deleted" in page(admin, "deletion-list")
    assert "Nothing was restored" in page(admin, "deletion-list", state="restored")
    assert admin.get(reverse("worklist:deletion-list"), {"state": "x"}).status_code == 422


def test_a_conflict_is_compared_and_decided(admin: Client, study: Study) -> None:
    conflict = InstanceConflict.objects.get()
    assert "Mueller, Anna" in page(admin, "conflict-list")
    assert 'data-waiting-count="1"' in page(admin, "conflict-rows")
    assert admin.get(reverse("worklist:state")).json()["conflicts"] == 1
    shown = page(admin, "conflict-detail", conflict.pk)
    assert "The pixels are the same." in shown
    assert "1 attribute differs" in shown
    assert "&lt;script&gt;alert(1)" in shown
    assert "<script>alert(1)" not in shown
    for side in ("first", "new"):
        picture = admin.get(reverse("worklist:conflict-picture", args=[conflict.pk, side]))
        assert picture["Content-Type"] == "image/jpeg"
        assert picture.content.startswith(b"\xff\xd8")

    way = reverse("worklist:conflict-decide", args=[conflict.pk])
    answer = admin.post(way, {"keep": "new", "reason": ""})
    assert answer.status_code == 422
    assert "Say why" in answer.content.decode()
    answer = admin.post(way, {"keep": "new", "reason": WHY}, follow=True)
    assert "What came later is shown now" in answer.content.decode()
    conflict.refresh_from_db()
    assert conflict.decision == "new"
    decided = page(admin, "conflict-list", state="decided")
    assert "The later one is shown" in decided
    assert "Wrong &lt;b&gt;patient" in decided
    assert "Show the first one again" in page(admin, "conflict-detail", conflict.pk)


def test_a_conflict_whose_file_is_lost_says_so(admin: Client, study: Study, store: Path) -> None:
    conflict = InstanceConflict.objects.get()
    (store / "conflicts" / conflict.storage_key).unlink()
    shown = page(admin, "conflict-detail", conflict.pk)
    assert "missing or damaged" in shown
    assert 'value="new"' not in shown
    way = reverse("worklist:conflict-picture", args=[conflict.pk, "new"])
    assert admin.get(way).status_code == 404


def test_a_study_is_deleted_and_restored(admin: Client, study: Study) -> None:
    way = reverse("worklist:study-delete", args=[study.pk])
    assert way in page(admin, "study-detail", study.pk)
    answer = admin.post(way, {"reason": "", "study": str(study.pk)}, follow=True)
    assert "Say why" in answer.content.decode()
    answer = admin.post(way, {"reason": WHY, "study": str(study.pk)}, follow=True)
    said = answer.content.decode()
    assert "The study is deleted: 1 images." in said
    assert "Wrong &lt;b&gt;patient" in said
    assert "Mueller, Anna" in said
    assert admin.get(reverse("worklist:study-detail", args=[study.pk])).status_code == 404
    assert "Mueller" not in page(admin, "study-list")
    assert admin.get(reverse("worklist:state")).json()["conflicts"] == 0
    deletion = Deletion.objects.get()
    answer = admin.post(reverse("worklist:deletion-restore", args=[deletion.pk]), follow=True)
    assert "It is back" in answer.content.decode()
    answer = admin.post(reverse("worklist:deletion-restore", args=[deletion.pk]))
    assert answer.status_code == 409
    assert "restored already" in answer.content.decode()
    assert "deleted the study" in page(admin, "study-detail", study.pk)


def test_what_is_destroyed_leaves_no_name(admin: Client, study: Study, admin_user: User) -> None:
    series = Series.objects.get()
    answer = admin.post(reverse("worklist:series-delete", args=[series.pk]), {"reason": WHY})
    assert answer.status_code == 302
    deletion = Deletion.objects.get()
    way = reverse("worklist:deletion-destroy", args=[deletion.pk])
    answer = admin.post(way, follow=True)
    assert "may be sent again" in answer.content.decode()
    said = page(admin, "deletion-list", state="destroyed")
    assert "Mueller" not in said
    assert deletion.target_uid in said
    assert not DicomImage.with_deleted.exists()


def test_only_administrators(site: Client, study: Study, admin_user: User) -> None:
    conflict = InstanceConflict.objects.get()
    deletion = deletions.delete_study(actor_of(admin_user), study.pk, WHY)
    pages = [
        reverse("worklist:conflict-list"),
        reverse("worklist:conflict-rows"),
        reverse("worklist:conflict-detail", args=[conflict.pk]),
        reverse("worklist:conflict-picture", args=[conflict.pk, "first"]),
        reverse("worklist:deletion-list"),
    ]
    forms = [
        reverse("worklist:conflict-decide", args=[conflict.pk]),
        reverse("worklist:study-delete", args=[study.pk]),
        reverse("worklist:series-delete", args=[study.pk]),
        reverse("worklist:deletion-restore", args=[deletion.pk]),
        reverse("worklist:deletion-destroy", args=[deletion.pk]),
    ]
    assert [site.get(address).status_code for address in pages] == [403] * len(pages)
    assert [site.post(address).status_code for address in forms] == [403] * len(forms)
    assert [Client().get(address).status_code in {302, 401} for address in pages + forms]
    assert "conflicts" not in site.get(reverse("worklist:state")).json()


def test_lists_take_few_queries(
    admin: Client, store: Path, facility: Facility, django_assert_max_num_queries: Any
) -> None:
    for _ in range(3):
        ds = make_instance()
        factories.store_bytes(to_bytes(ds), facility)
        ds.PatientName = "Other^Name"
        factories.store_bytes(to_bytes(ds), facility)
    with django_assert_max_num_queries(12):
        page(admin, "conflict-list")
