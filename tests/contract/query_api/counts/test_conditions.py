"""Conditions over HTTP: made, read, changed and deleted, and refused with the place of the fault."""

import secrets
from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.usefixtures("windows")


def new_name() -> str:
    return f"c-{secrets.token_hex(4)}"


async def made(editor: httpx.AsyncClient, **fields: object) -> dict[str, Any]:
    answer = await editor.post("/v1/conditions", json={"name": new_name(), "expression": "number > 1", **fields})
    assert answer.status_code == 201, answer.text
    view: dict[str, Any] = answer.json()
    return view


async def test_a_condition_is_made_read_changed_and_deleted(
    editor: httpx.AsyncClient, reader: httpx.AsyncClient
) -> None:
    """Each change is a new revision; one that changes nothing is none."""
    answer = await editor.post("/v1/conditions", json={"name": (name := new_name()), "expression": "number > 1"})
    path, view = answer.headers["location"], answer.json()
    assert (answer.status_code, path, view["stream"], view["per_a"]) == (201, f"/v1/conditions/{name}", "b", False)
    assert (view["state"], view["answering_revision"]) == ("filling", None)
    assert (await reader.get(path)).json() == view
    assert view in (await reader.get("/v1/conditions")).json()["items"]

    same = await editor.put(path, json={"expression": "number > 1"})
    assert same.json() == view
    changed = (await editor.put(path, json={"expression": "number > 2", "per_a": True})).json()
    assert changed["revision"] > view["revision"]
    assert (changed["expression"], changed["per_a"]) == ("number > 2", True)
    assert (changed["created_at"], changed["name"]) == (view["created_at"], name)

    assert (await editor.delete(path)).json() == changed
    change = {"expression": "true"}
    for gone in (await reader.get(path), await editor.put(path, json=change), await editor.delete(path)):
        assert (gone.status_code, gone.json()["code"]) == (404, "unknown_condition")


async def test_the_former_revision_answers_until_the_new_one_is_whole(
    editor: httpx.AsyncClient, reader: httpx.AsyncClient, windows: Any, eventually: Any
) -> None:
    """Counts never fall back to nothing while a change is filled."""
    first = await made(editor)
    windows.item("b-0", 1, "a-0", windows.fill(first, up_to=100))
    asked = {"condition": first["name"]}
    assert (await eventually(lambda: reader.get("/v1/counts/b", params=asked), 200))["count"] == 1
    second = (await editor.put(f"/v1/conditions/{first['name']}", json={"expression": "number > 0"})).json()
    assert (second["state"], second["answering_revision"]) == ("filling", first["revision"])
    found = (await reader.get("/v1/counts/b", params=asked)).json()
    assert (found["count"], found["condition_revision"]) == (1, first["revision"])


async def test_a_name_is_taken_once(editor: httpx.AsyncClient) -> None:
    """And only a change is a change."""
    view = await made(editor)
    again = await editor.post("/v1/conditions", json={"name": view["name"], "expression": "number > 2"})
    assert (again.status_code, again.json()["code"]) == (409, "condition_exists")


async def test_there_can_be_only_so_many(
    editor: httpx.AsyncClient, reader: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One more is refused; those there are can still be changed."""
    view = await made(editor)
    monkeypatch.setattr(
        "query_api.condition_book.MAX_CONDITIONS", len((await reader.get("/v1/conditions")).json()["items"])
    )
    answer = await editor.post("/v1/conditions", json={"name": new_name(), "expression": "true"})
    assert (answer.status_code, answer.json()["code"]) == (409, "too_many_conditions")
    changed = await editor.put(f"/v1/conditions/{view['name']}", json={"expression": "number > 3"})
    assert changed.status_code == 200


async def test_how_it_stands_is_unknown_without_windows(editor: httpx.AsyncClient) -> None:
    """What it says is known all the same."""
    view = await made(editor, stream="a")
    assert (view["state"], view["progress"], view["answering_revision"]) == ("unknown", None, None)


@pytest.mark.parametrize(
    ("expression", "line", "column", "says"),
    [
        ("number >", 1, 9, "the end of the expression"),
        ("number > 1 &&\n  nubmer < 5", 2, 3, "no variable 'nubmer' here: did you mean 'number'?"),
        ("number > 1 && text.containz('x')", 1, 20, "no function 'containz' here: did you mean 'contains'?"),
        ("number", 1, 1, "it gives float, not true or false"),
        ("number < 1 && 1 / int(number) > 0", 1, 15, "division by zero"),
        ("number > 1 && int(number) % 0 == 1", 1, 15, "modulo by zero"),
        ("number + 1 > 2.0", 1, 1, "Unsupported operation: float + int"),
        ("(" * 200 + "true" + ")" * 200, 1, 65, "brackets nest more than 64 deep here"),
        ("true?" * 200 + "true" + ":true" * 200, 1, 325, "one `?` too many: 64 are the most"),
        ("text == '" + "x" * 10_231 + "'", 1, 1, "the expression has 10,241 bytes; 10,000 are the most"),
    ],
)
async def test_an_expression_that_does_not_work(
    editor: httpx.AsyncClient, expression: str, line: int, column: int, says: str
) -> None:
    """Made or changed to, it is refused with where it fails and why."""
    made_of = await editor.post("/v1/conditions", json={"name": new_name(), "expression": expression})
    path = f"/v1/conditions/{(await made(editor))['name']}"
    changed_to = await editor.put(path, json={"expression": expression})
    for answer in (made_of, changed_to):
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (422, "invalid_expression"), problem
        (error,) = problem["errors"]
        assert (error["at"], error["line"], error["column"]) == ("body.expression", line, column), problem
        assert says in error["detail"]
        assert len(answer.content) < 2_000


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"name": "Big"}, "body.name: Expected `str` matching regex"),
        ({"name": ""}, "body.name: Expected `str` matching regex"),
        ({"name": "x" * 65}, "body.name: Expected `str` matching regex"),
        ({"name": "a@1"}, "body.name: Expected `str` matching regex"),
        ({"expression": ""}, "body.expression: Expected `str` of length >= 1"),
        ({"expression": 1}, "body.expression: Expected `str`, got `int`"),
        ({"stream": "c"}, "body.stream: Invalid enum value 'c'"),
        ({"per_a": "yes"}, "body.per_a: Expected `bool`, got `str`"),
        ({"expresion": "true"}, "unknown field `expresion`"),
    ],
)
async def test_a_body_that_does_not_fit(editor: httpx.AsyncClient, fields: dict[str, Any], says: str) -> None:
    """Named with its place."""
    answer = await editor.post("/v1/conditions", json={"name": new_name(), "expression": "true", **fields})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_body")
    assert says in answer.json()["detail"]
