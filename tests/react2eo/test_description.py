"""The description of the services holds: requests made from it are answered as it says, and people can read it too."""

import json
import os
import re

import pytest
import schemathesis
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from ceiba import labels
from ceiba.react2eo.description import list_operations, summary_key

EXAMPLES = int(os.environ.get("CEIBA_FUZZ_DESCRIPTION", "8"))
"""Requests an operation; CEIBA_FUZZ_DESCRIPTION=1000 takes an hour."""
CHECKS = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def described(module_client):
    """The description, as schemathesis reads it from the application."""
    return schemathesis.openapi.from_asgi("/openapi.json", module_client.app)


REAL = {
    "region": "land", "layer": "ndvi", "period": "2019", "first": "2018", "last": "2020", "z": 13, "x": 1886, "y": 3564,
    "bounds": [-97.1, 22.739, -97.09, 22.745], "lon": -97.095, "lat": 22.742, "width": 150,
}  # fmt: skip
SQUARE = [[-97.1, 22.74], [-97.09, 22.74], [-97.09, 22.745], [-97.1, 22.745], [-97.1, 22.74]]


def name_real_things(case) -> None:
    """Names and places that there are, or most requests would end at the first name."""
    for part in (case.query, case.path_parameters, case.body):
        if not isinstance(part, dict):
            continue
        for values in (part, part.get("view")):
            if isinstance(values, dict):
                for name in values.keys() & REAL.keys():
                    text = name == "bounds" and part is case.query
                    values[name] = ",".join(map(str, REAL[name])) if text else REAL[name]
                if "polygon" in values:
                    values["polygon"] = {"type": "Polygon", "coordinates": [SQUARE]}


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_requests_made_from_the_description_are_answered_as_it_says(described, mode):
    failures = []
    for result in described.get_all_operations():
        operation = result.ok()
        if mode is GenerationMode.NEGATIVE and not operation.definition.raw.get("parameters") and not operation.body:
            continue  # what takes nothing cannot be asked wrongly

        @seed(0)
        @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy(generation_mode=mode), real=st.booleans())
        def ask(case, real):
            if real:
                name_real_things(case)
            case.call_and_validate(checks=CHECKS)

        try:
            ask()
        except (FailureGroup, ExceptionGroup, Failure) as failure:
            failures.append(f"{operation.label}: {failure!r} {getattr(failure, 'exceptions', '')}")
    assert not failures, "\n".join(failures)


def test_every_operation_is_described(module_client):
    description = module_client.get("/openapi.json").json()
    ids = []
    for group, method, path, operation in list_operations(description):
        where = f"{method} {path}"
        ids.append(operation["operationId"])
        assert group != "other" and operation["summary"], f"{where} has no tag that the list knows, or no summary"
        for language in labels.LANGUAGES:
            assert f"react2eo.{summary_key(operation)}" in labels.load_labels(language), (
                f"write what {where} does into catalogs/labels/{language}/react2eo.yml, for the list at /api"
            )
        for code, answer in operation["responses"].items():
            assert answer["description"], f"{where} {code}"
            if code.startswith("2"):
                assert answer.get("content"), f"{where} {code} has no content type"
                assert answer["content"].get("application/json", {"schema": 1}).get("schema"), f"{where} {code} has no schema"
    assert len(set(ids)) == len(ids)


def test_the_list_for_people_needs_no_script_and_speaks_both_languages(module_client):
    spanish, english = (module_client.get("/api", params={"language": language}).text for language in labels.LANGUAGES)
    assert "Servicios de React-2-EO" in spanish and "Services of React-2-EO" in english
    assert module_client.get("/api", headers={"accept-language": "en-GB,en"}).text == english
    assert module_client.get("/api").text == spanish
    for page in (spanish, english):
        assert "<script" not in page and " style=" not in page and "<style" not in page
        assert not re.findall(r'(?:href|src)="(?!/)', page), "something of another origin"
        assert "POST /api/animations" in page and "frame_ms" in page
    assert module_client.get("/app/services.css").status_code == 200


def test_examples_of_the_description_fit_it(module_client):
    description = module_client.get("/openapi.json").json()
    schema = description["components"]["schemas"]["AnimationRequest"]
    assert set(schema["required"]) == {"region", "layer", "first", "last", "bounds"}
    assert json.dumps(description).count("HTTPValidationError") == 0, "errors are answered otherwise than FastAPI does"
