"""Interactive conversation: each question is sent with the whole conversation, and its answer is streamed."""

from __future__ import annotations

import asyncio
import importlib
import re
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from ..errors import ApiException
from ..types import ChatMessage, ModelConfigChatRequest
from .display import SampleProgress
from .errors import explain
from .follow import follow
from .terminal import print_status

if TYPE_CHECKING:
    from ..client.client import AsyncHumanloop
    from ..client.core import OpeningStream
    from ..client.stream import ChatStream

COMMANDS = """\
/clear     start a new conversation
/pick N    continue with sample N of the last answer instead of the first
/help      list the commands
/exit      exit; Ctrl-D does the same
Ctrl-C stops an answer and keeps the part received so far."""

_COMMAND = re.compile(r"/([a-z]+)(?: +(\d+))?")


@dataclass(frozen=True, kw_only=True)
class ChatCall:
    """The parameters that all calls of a conversation share. `system` is a template for `inputs`."""

    model_config: ModelConfigChatRequest
    system: str | None = None
    inputs: Mapping[str, str]
    project: str | None = None
    num_samples: int = 1

    def open(
        self, client: AsyncHumanloop, messages: list[ChatMessage], session: str | None = None
    ) -> OpeningStream[ChatStream]:
        """Prepare a streamed call; entering its context sends it."""
        config = self.model_config
        if self.system is not None:
            template = [ChatMessage(role="system", content=self.system)]
            config = msgspec.structs.replace(config, chat_template=template)
        return client.chat_stream(
            model_config=config,
            messages=messages,
            inputs=self.inputs,
            project=self.project,
            session_reference_id=session if self.project else None,
            num_samples=self.num_samples,
        )


@dataclass
class Conversation:
    """The messages of a conversation, and the samples of its last answer."""

    call: ChatCall
    messages: list[ChatMessage] = field(default_factory=list[ChatMessage])
    last: list[SampleProgress] = field(default_factory=list[SampleProgress])
    session: str = field(default_factory=lambda: uuid.uuid4().hex)

    async def ask(self, client: AsyncHumanloop, question: str) -> None:
        """Stream the answer to a question. A question without any answer text is removed again."""
        samples = [SampleProgress(index) for index in range(self.call.num_samples)]
        self.messages.append(ChatMessage(role="user", content=question))
        try:
            await follow(self.call.open(client, self.messages, self.session), samples)
        finally:
            if first := next((sample for sample in samples if sample.pieces), None):
                self.last = samples
                self.messages.append(ChatMessage(role="assistant", content=first.text.rstrip()))
            else:
                self.messages.pop()

    def clear(self) -> None:
        """Start a new conversation and a new session."""
        self.messages.clear()
        self.last = []
        self.session = uuid.uuid4().hex

    def pick(self, index: int) -> str:
        """Continue with another sample of the last answer. Returns a message for the user."""
        if not self.last:
            return "no answer to pick from yet"
        if index >= len(self.last) or not self.last[index].pieces:
            return f"the last answer has no text in sample {index}; it has {len(self.last)} sample(s)"
        self.messages[-1] = ChatMessage(role="assistant", content=self.last[index].text.rstrip())
        return f"continuing with sample {index}"


def converse(client: AsyncHumanloop, call: ChatCall) -> None:
    """Run a conversation in the terminal until Ctrl-D or ``/exit``. An error ends the answer, not the conversation."""
    with suppress(ImportError):  # not available on Windows
        importlib.import_module("readline")  # adds history and editing to input()
    conversation = Conversation(call)
    config = call.model_config
    print_status(f"{config.model}, provider {config.provider}, at {client.base_url}")
    print_status("/help lists the commands, Ctrl-D exits.\n")
    with asyncio.Runner() as runner:
        try:
            active = True
            while active:
                try:
                    active = _take_turn(runner, conversation, client)
                except KeyboardInterrupt:
                    print_status("\n(Ctrl-D or /exit exits)")
        finally:
            runner.run(client.aclose())


def _take_turn(runner: asyncio.Runner, conversation: Conversation, client: AsyncHumanloop) -> bool:
    """Read a line and run it as a command or a question. Returns False at the end of the conversation."""
    try:
        line = input("> ").strip()
    except EOFError:
        print()
        return False
    if command := _COMMAND.fullmatch(line):
        if command[1] == "exit":
            return False
        print_status(_run_command(conversation, command) + "\n")
    elif line:
        _stream_answer(runner, conversation, client, line)
    return True


def _run_command(conversation: Conversation, command: re.Match[str]) -> str:
    match command[1], command[2]:
        case "clear", None:
            conversation.clear()
            return "started a new conversation"
        case "pick", str(index):
            return conversation.pick(int(index))
        case "help", None:
            return COMMANDS
        case _:
            return f"unknown command {command[0]}\n{COMMANDS}"


def _stream_answer(runner: asyncio.Runner, conversation: Conversation, client: AsyncHumanloop, question: str) -> None:
    # The runner turns Ctrl-C into the cancellation of this answer; the client and its connections stay open.
    try:
        runner.run(conversation.ask(client, question))
    except KeyboardInterrupt:
        print_status("(stopped)")
    except ApiException as exc:
        print_status(f"error: {explain(exc)}")
    print()
