"""``chat``: a single answer with pipes, a conversation in a terminal."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from humanloop_async import AsyncHumanloop, ChatMessage
from tests.cli.command_line import Served, Terminal, interrupted, run, running

MOCK = ("chat", "--provider", "mock")
WAITING = re.compile("[⠀-⣿] waiting for the first token\\s*")  # printed for each frame of the spinner


def answered(served: Served, *arguments: str, stdin: str = "") -> dict[str, Any]:
    done = run(*MOCK, "--json", *arguments, stdin=stdin, env=served.env)
    assert (done.returncode, done.stderr) == (0, "")
    document: dict[str, Any] = json.loads(done.stdout)
    return document


async def expected(served: Served, *contents: str, index: int = 0, num_samples: int = 1) -> str:
    """Return the SDK's answer to a conversation; the output of mock depends on every message."""
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
def test_a_missing_message_without_a_terminal_is_invalid_usage(arguments: list[str]) -> None:
    done = run(*MOCK, *arguments)
    assert (done.returncode, done.stdout) == (2, "")


def test_a_conversation_has_no_json() -> None:
    with Terminal(*MOCK, "--json") as terminal:
        assert terminal.exit_code() == 2
        assert "pass a message as an argument or pipe it in" in terminal.shown


def test_ctrl_c_ends_a_single_answer(slow: Served) -> None:
    with running(*MOCK, "Hello", env=slow.env) as process:
        out, err = interrupted(process, " ")
    assert (process.returncode, err) == (130, "")
    assert out.endswith("\n")


def ask(terminal: Terminal, question: str) -> str:
    """Type a question and return the answer that is shown before the next prompt."""
    asked = len(terminal.shown)
    terminal.type(question + "\n")
    start = terminal.wait_for(question + "\n", asked)
    end = terminal.wait_for("\n\n> ", start)
    # The terminal wraps lines anywhere; this one is wide enough for whole answers.
    return WAITING.sub("", terminal.shown[start:end].removesuffix("\n\n> ")).strip()


def conversation(served: Served, *arguments: str) -> Terminal:
    return Terminal(*MOCK, *arguments, env=served.env, columns=800)


async def test_a_conversation_keeps_its_messages_until_clear(served: Served) -> None:
    with conversation(served) as terminal:
        terminal.wait_for("> ")
        first = ask(terminal, "Hello")
        assert first == await expected(served, "Hello")
        assert ask(terminal, "And then?") == await expected(served, "Hello", first, "And then?")
        assert ask(terminal, "/clear") == "started a new conversation"
        assert ask(terminal, "Hello") == first
        terminal.type("\x04")  # Ctrl-D
        assert terminal.exit_code() == 0


async def test_another_sample_can_be_picked(served: Served) -> None:
    with conversation(served, "-n", "2") as terminal:
        terminal.wait_for("> ")
        assert ask(terminal, "/pick 0") == "no answer to pick from yet"
        boxes = ask(terminal, "Hello")
        assert "sample 0" in boxes
        assert "sample 1" in boxes
        assert ask(terminal, "/pick 2") == "the last answer has no text in sample 2; it has 2 sample(s)"
        assert ask(terminal, "/pick 1") == "continuing with sample 1"
        second = await expected(served, "Hello", index=1, num_samples=2)
        assert await expected(served, "Hello", second, "And?", num_samples=2) in ask(terminal, "And?")


def test_help_lists_the_commands(served: Served) -> None:
    with conversation(served) as terminal:
        terminal.wait_for("/help lists the commands")
        terminal.wait_for("> ")
        listed = ask(terminal, "/help")
        assert ask(terminal, "/nope") == f"unknown command /nope\n{listed}"
        for command in ("/clear", "/pick N", "/help", "/exit", "Ctrl-C"):
            assert command in listed
        assert "/etc/hosts" not in ask(terminal, "/etc/hosts is what?")  # not a command, so it gets an answer
        terminal.type("/exit\n")
        assert terminal.exit_code() == 0


async def test_ctrl_c_stops_the_answer_and_keeps_the_conversation(served: Served, slow: Served) -> None:
    whole = await expected(served, "Hello")  # the output is the same at any pace
    with conversation(slow) as terminal:
        terminal.wait_for("> ")
        terminal.type("Hello\n")
        terminal.wait_for(" ".join(whole.split()[:4]))
        terminal.type("\x03")
        stopped = terminal.wait_for("(stopped)")
        prompt = terminal.wait_for("\n> ", stopped)
        part = terminal.shown[terminal.shown.index(whole.split()[0]) : stopped].partition("^C")[0].strip()
        assert whole.startswith(part)
        assert part != whole

        # At the prompt Ctrl-C only shows how to exit.
        at = terminal.wait_for("\n> ", terminal.press_until("\x03", "(Ctrl-D or /exit exits)", prompt))
        terminal.type("And then?\n")
        answer = await expected(served, "Hello", part, "And then?")
        terminal.wait_for(" ".join(answer.split()[:4]), at)
        terminal.type("\x03")
        terminal.wait_for("\n> ", terminal.wait_for("(stopped)", at))
        terminal.type("\x04")
        assert terminal.exit_code() == 0


def test_an_error_ends_the_answer_and_not_the_conversation(served: Served) -> None:
    with conversation(served, "--api-key", "sekret-of-mine") as terminal:
        terminal.wait_for("> ")
        for _ in range(2):
            assert f"error: 401 from {served.env['HUMANLOOP_BASE_URL'].split('/')[2]}: " in ask(terminal, "Hello")
        terminal.type("\x04")
        assert terminal.exit_code() == 0
        assert "sekret-of-mine" not in terminal.shown


def test_the_up_key_repeats_the_last_line(served: Served) -> None:
    pytest.importorskip("readline", reason="not applicable: this Python has no readline")
    with conversation(served) as terminal:
        terminal.wait_for("> ")
        first = ask(terminal, "/clear")
        at = len(terminal.shown)
        terminal.type("\x1b[A\n")
        terminal.wait_for(first, at)
