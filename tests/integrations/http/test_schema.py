"""Schemathesis: whatever the OpenAPI document allows or forbids, the service answers as it says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable

from tests.integrations.http.conftest import AUTHORISED, make_service, serving

schemathesis: Any = pytest.importorskip("schemathesis", reason="needs lepton-rl[dev]")
checks: Any = pytest.importorskip("schemathesis.specs.openapi.checks")
not_a_server_error: Any = pytest.importorskip("schemathesis.checks").not_a_server_error


def bad_data_is_refused(context: Any, response: Any, case: Any) -> bool | None:
    """Schemathesis does not count 413 as a refusal, which bad data may get as well."""
    if response.status_code == 413:
        return None
    found: bool | None = checks.negative_data_rejection(context, response, case)
    return found


CHECKS = (
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    bad_data_is_refused,
    checks.ignored_auth,
)


@pytest.fixture(scope="module")
def api() -> Iterator[Any]:
    with serving(make_service(), kubernetes=True) as url:
        yield schemathesis.openapi.from_url(f"{url}/openapi.json")


def examine(api: Any, examples: int, mode: str) -> list[str]:
    """Call every operation with made-up requests; returns which operations there were."""
    found = []
    for each in api.get_all_operations():
        operation = each.ok()
        strategy = operation.as_strategy(
            generation_mode=schemathesis.GenerationMode(mode),
        )

        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            derandomize=True,
            phases=(Phase.generate,),
            suppress_health_check=list(HealthCheck),
        )
        @given(case=strategy)
        def call(case: Any) -> None:
            case.call_and_validate(headers=AUTHORISED, checks=CHECKS)

        with suppress(Unsatisfiable):  # there is nothing about it that could be wrong
            call()
        found.append(operation.label)
    return found


@pytest.mark.parametrize("mode", ["positive", "negative"])
@pytest.mark.parametrize(
    "examples", [4, pytest.param(60, marks=pytest.mark.slow)], ids=["short", "long"]
)
def test_the_service_is_as_it_says(api: Any, examples: int, mode: str) -> None:
    assert len(examine(api, examples, mode)) >= 14
