"""The OpenAPI document is one that a client generator accepts."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from api.deps import API
from api.main import openapi_document

ROOT = Path(__file__).parents[2]
DOCUMENT = openapi_document()
OPERATIONS = {
    f"{method.upper()} {path}": operation
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
}


def everything(node: Any) -> Iterator[dict[str, Any]]:
    """Every object in it."""
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    if isinstance(node, list):
        for it in node:
            yield from everything(it)


def test_operations_have_names_of_their_own() -> None:
    names = Counter(operation["operationId"] for operation in OPERATIONS.values())
    assert [name for name, count in names.items() if count > 1] == []
    assert [name for name in names if not re.fullmatch(r"[a-z][a-z0-9_]*", name)] == []


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_is_described(name: str) -> None:
    operation = OPERATIONS[name]
    assert operation["summary"]
    assert operation["description"]
    (tag,) = operation["tags"]
    assert tag in {it["name"] for it in DOCUMENT["tags"]}
    in_path = {it["name"] for it in operation.get("parameters", ()) if it["in"] == "path"}
    assert in_path == set(re.findall(r"{(\w+)}", name))
    assert any(status.startswith("2") for status in operation["responses"])
    assert all(response["description"] for response in operation["responses"].values())


@pytest.mark.parametrize("name", OPERATIONS)
def test_below_the_api_a_key_is_needed(name: str) -> None:
    operation = OPERATIONS[name]
    if name.partition(" ")[2].startswith(API):
        [[scope]] = [it["ApiKey"] for it in operation["security"]]
        assert scope in ("read", "write", "admin")
        assert operation["responses"].keys() >= {"401", "403", "429"}
        assert scope != "write" or not name.startswith("GET")
    else:
        assert "security" not in operation


def test_every_tag_is_used() -> None:
    used = {tag for operation in OPERATIONS.values() for tag in operation["tags"]}
    assert used == {it["name"] for it in DOCUMENT["tags"]}
    assert all(it["description"] for it in DOCUMENT["tags"])


def test_what_is_referred_to_is_there() -> None:
    references = {it["$ref"] for it in everything(DOCUMENT) if isinstance(it.get("$ref"), str)}
    assert references
    for reference in references:
        node = DOCUMENT
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]


def test_schemas_are_schemas() -> None:
    """OpenAPI 3.1 has those of JSON Schema 2020-12."""
    assert DOCUMENT["openapi"].startswith("3.1.")
    for name, schema in DOCUMENT["components"]["schemas"].items():
        jsonschema_rs.meta.validate(
            {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
        )
        assert re.fullmatch(r"[A-Za-z0-9_]+", name)


def test_the_committed_document_is_this_one() -> None:
    committed = json.loads((ROOT / "docs" / "openapi.json").read_text())
    assert committed == DOCUMENT, "write it again: freshet openapi --out docs/openapi.json"
