"""The OpenAPI document against the server that it describes: made-up calls, by schemathesis."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, given, settings
from tests.api.conftest import KEY, Running

from mintage.api.application import openapi_document

schemathesis = pytest.importorskip("schemathesis")
_CALLS = int(os.environ.get("MINTAGE_ROUNDS", "10"))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_no_made_up_call_is_answered_otherwise_than_the_document_says(
    running: Running, service, warm
) -> None:
    from schemathesis.specs.openapi import checks

    document = openapi_document(service)
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=running.address)
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) == sum(len(path) for path in document["paths"].values())
    for operation in operations:

        @settings(
            max_examples=_CALLS,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def call(case) -> None:
            response = case.call(headers={"Authorization": f"Bearer {KEY}"})
            case.validate_response(
                response,
                checks=[
                    schemathesis.checks.not_a_server_error,
                    checks.status_code_conformance,
                    checks.content_type_conformance,
                    checks.response_headers_conformance,
                    checks.response_schema_conformance,
                ],
            )

        call()
