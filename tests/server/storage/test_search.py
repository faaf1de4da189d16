"""Search in logs: any case, any language, and characters that JSON or LIKE treat specially."""

from __future__ import annotations

from tests.server.served import CHAT, Api, on_both_databases
from tests.server.storage.log_lists import found, post

pytestmark = on_both_databases

SEARCHES = {
    "hello": "plain",
    "HELLO": "plain",
    "grüße": "GRÜSSE an alle",  # without the ß
    "grüsse": "GRÜSSE an alle",
    "ÉCOLE": "école \U0001f600",
    "\U0001f600": "école \U0001f600",
    'say "x"': "quotes",
    "back\\slash": "quotes",
    "two\nlines": "quotes",
    "100%": "wild",
    "a_c": "wild",
    "ПРИВЕТ": "wild",
    "a/c": None,
    "[1]": None,
    "nowhere": None,
}


async def test_search_finds_text_in_inputs_and_output_in_any_case(api: Api) -> None:
    await post(
        api,
        {"output": "plain", "inputs": {"greeting": "Hello"}},
        {"output": "GRÜSSE an alle"},
        {"output": "école \U0001f600"},
        {"output": "quotes", "inputs": {"q": 'Say "X" to back\\slash on two\nlines'}},
        {"output": "wild", "inputs": {"a": "100% a_c", "b": "abc 100", "c": "Привет"}},
    )
    for text, expected in SEARCHES.items():
        assert await found(api, ("search", text)) == ([] if expected is None else [expected]), text


async def test_search_covers_generated_logs(api: Api) -> None:
    call = {**CHAT, "inputs": {"name": "Ærø"}, "metadata": {"kunde": "Ålborg"}}
    _, chat = await api.post("/chat", {**call, "messages": [{"role": "user", "content": "Hi"}]})
    output = chat["data"][0]["output"]
    for query in (("search", "ærØ"), ("search", output.upper()), ("metadata_search", "ålborg")):
        assert await found(api, query) == [output]


async def test_metadata_has_a_separate_search(api: Api) -> None:
    await post(api, {"output": "one", "metadata": {"team": "Blue"}}, {"output": "two", "inputs": {"team": "blue"}})
    assert await found(api, ("metadata_search", "bLUE")) == ["one"]
    assert await found(api, ("search", "blue")) == ["two"]
