"""Prompts: reproducible, of the requested length, and different from each other where a server might cache them."""

from __future__ import annotations

from pathlib import Path

import pytest

from humanloop_async import InvalidArgument
from humanloop_async.bench.load import TraceEntry
from humanloop_async.bench.prompts import BUILT_IN, built_in_prompts, generated_prompts, prompts_from_file


def text(messages: list[dict[str, str]]) -> str:
    return messages[0]["content"]


def test_a_prompt_depends_only_on_seed_and_number() -> None:
    for build in (built_in_prompts, lambda **options: generated_prompts(30, **options)):
        first, second = (build(seed=1, unique="run") for _ in range(2))
        assert [first.prompt(n) for n in range(20)] == [second.prompt(n) for n in range(20)]
        other = build(seed=2, unique="run")
        assert [first.prompt(n) for n in range(20)] != [other.prompt(n) for n in range(20)]


def test_unique_prompts_share_no_beginning_even_between_runs_with_one_seed() -> None:
    for build in (built_in_prompts, lambda **options: generated_prompts(30, **options)):
        starts = {text(build(seed=1, unique=run).prompt(n).messages)[:20] for run in ("a", "b") for n in range(50)}
        assert len(starts) == 100


def test_without_it_prompts_are_sent_as_they_are() -> None:
    prompts = built_in_prompts(seed=0, unique=None)
    assert {text(prompts.prompt(number).messages) for number in range(200)} == set(BUILT_IN)


@pytest.mark.parametrize("unique", [None, "run"])
@pytest.mark.parametrize("tokens", [1, 5, 300])
def test_generated_prompts_have_the_requested_number_of_words(tokens: int, unique: str | None) -> None:
    prompts = generated_prompts(tokens, seed=0, unique=unique)
    assert {len(text(prompts.prompt(number).messages).split()) for number in range(20)} == {tokens}


def test_a_trace_decides_about_prompt_and_length() -> None:
    prompts = built_in_prompts(seed=0, unique=None)
    given = prompts.prompt(0, TraceEntry(0, [{"role": "user", "content": "Hi"}], max_tokens=5))
    assert (text(given.messages), given.max_tokens) == ("Hi", 5)
    generated = prompts.prompt(0, TraceEntry(0, prompt_tokens=12, max_tokens=6))
    assert (len(text(generated.messages).split()), generated.max_tokens) == (12, 6)
    assert text(prompts.prompt(0, TraceEntry(0)).messages) in BUILT_IN


def test_prompts_from_files(tmp_path: Path) -> None:
    plain, lines = tmp_path / "prompts.txt", tmp_path / "prompts.jsonl"
    plain.write_text("One\n\nTwo\n")
    lines.write_text('{"prompt": "One"}\n{"messages": [{"role": "system", "content": "Two"}]}\n')
    for path in (plain, lines):
        prompts = prompts_from_file(path, seed=0, unique=None)
        assert {text(prompts.prompt(number).messages) for number in range(50)} == {"One", "Two"}


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.txt", "", "has no prompts"),
        ("a.jsonl", '{"text": "x"}', "line 1: no `prompt` and no `messages`"),
        ("a.jsonl", "plain", "line 1: JSON is malformed"),
        ("a.jsonl", '{"messages": [1]}', "line 1: Expected `object`"),
    ],
)
def test_a_bad_file_is_rejected_with_its_line(tmp_path: Path, name: str, content: str, problem: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(InvalidArgument, match=problem):
        prompts_from_file(path, seed=0, unique=None)


def test_prompts_without_a_token_are_rejected() -> None:
    with pytest.raises(InvalidArgument, match="0 tokens are too short"):
        generated_prompts(0, seed=0, unique=None)
