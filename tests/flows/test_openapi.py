"""What the OpenAPI document says may be asked, is asked: by schemathesis, of the running sidecar.

No input makes a fault of ours; refusals are problem documents. The examples are the same each time.
"""

from __future__ import annotations

import json
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings

from tests.serving import new_site

SITE = """
from pathlib import Path
import sys
from accounts.models import ApiToken, Role
from tests import factories
facility = factories.facility("NORTH", "North")
stored = factories.store_file(Path(sys.argv[1]), facility)
user = factories.user("fuzz", Role.ADMIN, [facility])
print(ApiToken.issue(user, expires_at=None)[1])
print(stored.study_instance_uid, stored.series_instance_uid, stored.sop_instance_uid)
"""
CT = "study_ct_sr/1001/Kopf_nativ__5.0__H42s__00009.dcm"
# Ends the token that all others are asked with.
_LEFT_OUT = {("DELETE", "/api/v1/auth/token")}
_EXAMPLES = 2

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def asked(shared: Path) -> Iterator[tuple[str, list[str]]]:
    with tempfile.TemporaryDirectory(prefix="noctis-openapi-") as folder:
        site = new_site(Path(folder) / "var", SITE, str(shared / "data" / CT))
        with site.serving() as serving:
            yield serving.url, site.said


for _kind in ("application/offset+octet-stream", "application/dicom", "application/dicom+json"):

    @schemathesis.serializer(_kind)
    def as_it_is(context: Any, value: Any) -> bytes:
        """Bodies of these types are sent as they were made up."""
        return value if isinstance(value, bytes) else json.dumps(value, default=str).encode()


def quietly(operation: Any) -> Any:
    """The inputs of an operation; what the library says of its own dependencies is its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return operation.as_strategy()


def test_no_input_is_a_fault_of_ours(asked: tuple[str, list[str]]) -> None:
    url, (token, study, series, image) = asked
    headers = {"Authorization": f"Bearer {token}"}
    # What is there: with these names the other inputs come further.
    known = {"study": study, "series": series, "image": image, "instance": image, "number": "1"}
    document = httpx.get(f"{url}/api/openapi.json", headers=headers).json()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        schema = schemathesis.openapi.from_dict(document)
        operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) > 60
    faults: list[str] = []
    count = 0
    for operation in operations:
        if (operation.method.upper(), operation.path) in _LEFT_OUT:
            continue

        @settings(
            max_examples=_EXAMPLES,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=quietly(operation))
        def ask(case: Any) -> None:
            look_at(case)
            names = case.path_parameters or {}
            if case.method.upper() == "GET" and names.keys() <= known.keys() and names:
                case.path_parameters.update({name: known[name] for name in names})
                look_at(case)

        def look_at(case: Any) -> None:
            nonlocal count
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                answer = case.call(base_url=url, headers=headers, timeout=60)
            count += 1
            where = f"{answer.request.method} {answer.request.url}"
            if answer.status_code >= 500:
                faults.append(f"{answer.status_code} {where} {answer.text[:200]}")
            elif answer.status_code >= 400 and answer.request.method != "HEAD":
                kind = answer.headers.get("content-type", [""])[0]
                if not kind.startswith(("application/problem+json", "application/dicom+json")):
                    faults.append(f"{answer.status_code} {where} answers {kind!r}")

        ask()
    assert not faults, "\n".join(faults)
    assert count > 2 * len(operations)
