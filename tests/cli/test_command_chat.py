"""``chat``: one answer with pipes, a conversation in a terminal."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from humanloop_async import AsyncHumanloop, ChatMessage
from tests.cli.command_line import Served, Terminal, interrupted, run, running

MOCK = ("chat", "--provider", "mock")
WAITING = re.compile("[⠀-⣿] waiting for the first token\\s*")  # drawn once more for each turn of its spinner


def answered(served: Served, *arguments: str, stdin: str = "") -> dict[str, Any]:
    done = run(*MOCK, "--json", *arguments, stdin=stdin, env=served.env)
    assert (done.returncode, done.stderr) == (0, "")
    document: dict[str, Any] = json.loads(done.stdout)
    return document


async def expected(served: Served, *contents: str, index: int = 0, num_samples: int = 1) -> str:
    """What the SDK gets for a conversation: mock's words depend on every message."""
    messages = [
        ChatMessage(role="assistant" if number % 2 else "user", content=content)
        for number, content in enumerate(contents)
    ]
    async with AsyncHumanloop(base_url=served.base_url, api_key=served.key) as client:
        response = await client.chat(
            model_config={"provider": "mock", "model": "mock"}, messages=messages, num_samples=num_samples
        )
    return response.data[index].output


async def test_a_message_gets_one_answer(served: Served) -> None:
    done = run(*MOCK, "Hello", env=served.env)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == await expected(served, "Hello") + "\n"
    assert done.stdout == run(*MOCK, stdin="Hello\n", env=served.env).stdout


def test_instructions_are_a_template_and_the_message_is_not(served: Served) -> None:
    response = answered(served, "--system", "Speak {{lang}}.", "--input", "lang=French", "Say {{x}}", "-n", "2")
    assert [(message["role"], message["content"]) for message in response["data"][0]["messages"]] == [
        ("system", "Speak French."),
        ("user", "Say {{x}}"),
    ]
    assert len(response["data"]) == 2


@pytest.mark.parametrize("arguments", [[], ["--json"], ["", "--json"]])
def test_nothing_to_ask_without_a_terminal_is_wrong_usage(arguments: list[str]) -> None:
    done = run(*MOCK, *arguments)
    assert (done.returncode, done.stdout) == (2, "")


def test_a_conversation_has_no_json() -> None:
    with Terminal(*MOCK, "--json") as terminal:
        assert terminal.exit_code() == 2
        assert "give a message, or pipe one in" in terminal.shown


def test_ctrl_c_ends_a_single_answer(slow: Served) -> None:
    with running(*MOCK, "Hello", env=slow.env) as process:
        out, err = interrupted(process, " ")
    assert (process.returncode, err) == (130, "")
    assert out.endswith("\n")


def ask(terminal: Terminal, question: str) -> str:
    """Type a question; the answer that is shown before the next prompt."""
    at = len(terminal.shown)
    terminal.type(question + "\n")
    begun = terminal.wait_for(question + "\n", at)
    end = terminal.wait_for("\n\n> ", begun)
    # A terminal's lines break anywhere; none of mock's words spans one when it is wide enough.
    return WAITING.sub("", terminal.shown[begun:end].removesuffix("\n\n> ")).strip()


def talking(served: Served, *arguments: str) -> Terminal:
    return Terminal(*MOCK, *arguments, env=served.env, columns=800)


async def test_a_conversation_keeps_what_was_said_until_it_is_cleared(served: Served) -> None:
    with talking(served) as terminal:
        terminal.wait_for("> ")
        first = ask(terminal, "Hello")
        assert first == await expected(served, "Hello")
        assert ask(terminal, "And then?") == await expected(served, "Hello", first, "And then?")
        assert ask(terminal, "/clear") == "a new conversation"
        assert ask(terminal, "Hello") == first
        terminal.type("\x04")  # Ctrl-D
        assert terminal.exit_code() == 0


async def test_another_sample_can_be_picked(served: Served) -> None:
    with talking(served, "-n", "2") as terminal:
        terminal.wait_for("> ")
        assert ask(terminal, "/pick 0") == "there is no answer to pick from yet"
        boxes = ask(terminal, "Hello")
        assert "sample 0" in boxes
        assert "sample 1" in boxes
        assert ask(terminal, "/pick 2") == "the last answer has no sample 2"
        assert ask(terminal, "/pick 1") == "going on with sample 1"
        second = await expected(served, "Hello", index=1, num_samples=2)
        assert await expected(served, "Hello", second, "And?", num_samples=2) in ask(terminal, "And?")


def test_commands_are_few_and_told(served: Served) -> None:
    with talking(served) as terminal:
        terminal.wait_for("/help lists the commands")
        terminal.wait_for("> ")
        told = ask(terminal, "/help")
        assert ask(terminal, "/nope") == f"unknown command /nope\n{told}"
        for command in ("/clear", "/pick N", "/help", "/exit", "Ctrl-C"):
            assert command in told
        assert "/etc/hosts" not in ask(terminal, "/etc/hosts is what?")  # a message, answered in mock's words
        terminal.type("/exit\n")
        assert terminal.exit_code() == 0


async def test_ctrl_c_stops_the_answer_and_keeps_the_conversation(served: Served, slow: Served) -> None:
    whole = await expected(served, "Hello")  # the words are the same at any pace
    with talking(slow) as terminal:
        terminal.wait_for("> ")
        terminal.type("Hello\n")
        terminal.wait_for(" ".join(whole.split()[:4]))
        terminal.type("\x03")
        stopped = terminal.wait_for("(stopped)")
        prompt = terminal.wait_for("\n> ", stopped)
        part = terminal.shown[terminal.shown.index(whole.split()[0]) : stopped].partition("^C")[0].strip()
        assert whole.startswith(part)
        assert part != whole

        # At the prompt it does nothing but say how to end.
        at = terminal.wait_for("\n> ", terminal.press_until("\x03", "(Ctrl-D or /exit ends)", prompt))
        terminal.type("And then?\n")
        answer = await expected(served, "Hello", part, "And then?")
        terminal.wait_for(" ".join(answer.split()[:4]), at)
        terminal.type("\x03")
        terminal.wait_for("\n> ", terminal.wait_for("(stopped)", at))
        terminal.type("\x04")
        assert terminal.exit_code() == 0


def test_an_error_ends_the_answer_and_not_the_conversation(served: Served) -> None:
    with talking(served, "--api-key", "sekret-of-mine") as terminal:
        terminal.wait_for("> ")
        for _ in range(2):
            refusal = ask(terminal, "Hello")
            assert "error: 401 from Humanloop" in refusal
        terminal.type("\x04")
        assert terminal.exit_code() == 0
        assert "sekret-of-mine" not in terminal.shown


def test_what_was_typed_comes_back_with_the_up_key(served: Served) -> None:
    pytest.importorskip("readline", reason="not applicable: this Python has no readline")
    with talking(served) as terminal:
        terminal.wait_for("> ")
        first = ask(terminal, "/clear")
        at = len(terminal.shown)
        terminal.type("\x1b[A\n")
        terminal.wait_for(first, at)
