"""With ``--tokenizer``, tokens are counted from the text, and generated prompts have exact lengths."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from humanloop_async import InvalidArgument
from humanloop_async.bench.generator import LoadGenerator
from humanloop_async.bench.load import Closed, Limits, TraceEntry
from humanloop_async.bench.metrics import token_count
from humanloop_async.bench.null_server import NullSchedule, NullServer
from humanloop_async.bench.prompts import _WORDS, built_in_prompts, generated_prompts, with_tokenizer
from humanloop_async.bench.settings import Api, TargetSettings
from humanloop_async.bench.targets import open_target
from humanloop_async.bench.tokenizer import Tokenizer
from humanloop_async.testing import ScriptedServer
from tests.bench.measuring import plan
from tests.events import DONE, event, sse

pytest.importorskip("tokenizers", reason="tokenizers is not installed (extra `bench`)")


def tokenizer_file(path: Path, words: Sequence[str]) -> Path:
    """Write a tokenizer for which each word is one token, and so is every other letter."""
    vocabulary = ["[UNK]", *sorted({letter for word in words for letter in word} | set("abcdefghijklmnopqrstuvwxyz"))]
    vocabulary += [word for word in words if word not in vocabulary]
    body: dict[str, Any] = {
        "version": "1.0",
        "added_tokens": [],
        "pre_tokenizer": {"type": "Whitespace"},
        "model": {
            "type": "WordPiece",
            "vocab": {word: number for number, word in enumerate(vocabulary)},
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "",
            "max_input_chars_per_word": 100,
        },
    }
    path.write_text(json.dumps(body))
    return path


@pytest.fixture
def tokenizer(tmp_path: Path) -> Tokenizer:
    return Tokenizer(tokenizer_file(tmp_path / "tokenizer.json", _WORDS[:40]))


def keeping_text(api: Api, url: str) -> TargetSettings:
    return TargetSettings(api=api, base_url=url, model="null", provider="mock", keep_text=True, num_samples=2)


@pytest.mark.parametrize("api", ["v4", "openai"])
async def test_the_text_of_every_sample_is_counted(api: Api, tokenizer: Tokenizer) -> None:
    """The server's usage says 6 tokens; the tokenizer splits each word ``tokenN`` into 6."""
    async with NullServer(NullSchedule(tokens=3)).running() as server:
        target = open_target(keeping_text(api, server.url(api)))
        outcome = await LoadGenerator(plan(Closed(1), Limits(requests=2)), target).run()
        await target.aclose()
    assert [[text.split() for text in record.texts] for record in outcome.records] == [
        [["token0", "token1", "token2"]] * 2
    ] * 2
    tokenizer.count_records(outcome.records)
    count = token_count(outcome.records, tokenizer.name)
    assert [count.tokens(record) for record in outcome.records] == tokenizer.count(
        ["token0 token1 token2 token0 token1 token2"] * 2
    )
    assert count.method == "tokenizer"
    assert tokenizer.name in count.explanation
    assert not any(record.texts for record in outcome.records)
    assert token_count(outcome.records).method == "usage"  # without it


async def test_whatever_counts_as_a_token_is_text() -> None:
    call = {"index": 0, "id": "c", "type": "function", "function": {"name": "find", "arguments": '{"a":1}'}}
    deltas: list[dict[str, Any]] = [
        {"reasoning_content": "hm "},
        {"content": [{"type": "text", "text": "one "}]},
        {"content": "two "},
        {"tool_calls": [call]},
    ]
    events = [sse({"choices": [{"index": 0, "delta": delta}]}) for delta in deltas]
    end = sse({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    async with ScriptedServer() as server:
        server.add_stream(*events, end, DONE)
        server.add_stream(
            sse({"data": [{"index": 0, "output": "a", "raw_output": "a", "reasoning": "hm "}]}), event(0, " b ", "stop")
        )
        expected: dict[Api, str] = {"openai": 'hm one two find{"a":1}', "v4": "hm a b "}
        for api, text in expected.items():
            settings = TargetSettings(api=api, base_url=server.url, model="m", provider="mock", keep_text=True)
            target = open_target(settings)
            outcome = await LoadGenerator(plan(Closed(1), Limits(requests=1)), target).run()
            await target.aclose()
            assert [record.texts for record in outcome.records] == [[text]]


def test_generated_prompts_have_exactly_the_requested_tokens(tokenizer: Tokenizer) -> None:
    prompts = with_tokenizer(generated_prompts(57, seed=1, unique="run"), tokenizer)
    texts = [prompts.prompt(number).messages[0]["content"] for number in range(30)]
    assert set(tokenizer.count(texts)) == {57}
    assert len({text[:30] for text in texts}) == 30
    assert prompts.source == f"generated, 57 tokens of {tokenizer.name}"
    traced = with_tokenizer(built_in_prompts(seed=1, unique="run"), tokenizer)
    (message,) = traced.prompt(0, TraceEntry(0, prompt_tokens=33)).messages
    assert tokenizer.count([message["content"]]) == [33]
    # Without the tokenizer, many of the words are several of its tokens.
    plain = generated_prompts(57, seed=1, unique="run").prompt(0).messages[0]["content"]
    assert tokenizer.count([plain]) > [57]


def test_a_tokenizer_without_words_is_rejected(tmp_path: Path) -> None:
    letters = Tokenizer(tokenizer_file(tmp_path / "letters.json", []))
    with pytest.raises(InvalidArgument, match="pass prompts with --prompts"):
        with_tokenizer(generated_prompts(5, seed=0, unique=None), letters)


def test_a_file_that_is_no_tokenizer_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"cannot read the tokenizer .*No such file"):
        Tokenizer(tmp_path / "missing.json")
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(InvalidArgument, match=r"other\.json' is not a tokenizer\.json"):
        Tokenizer(tmp_path / "other.json")
