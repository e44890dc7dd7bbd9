"""Browsers of people who see the pages."""

from __future__ import annotations

import pytest
from django.test import Client

from accounts.models import Role, User
from tests import factories
from worklist.models import Facility


@pytest.fixture
def admin(admin_user: User) -> Client:
    client = Client()
    client.force_login(admin_user)
    return client


@pytest.fixture
def member(facility: Facility) -> Client:
    """Somebody of `facility` who administers nothing."""
    client = Client()
    client.force_login(factories.user("mia", Role.TECHNOLOGIST, [facility]))
    return client
