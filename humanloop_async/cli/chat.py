"""A conversation: one question after the other, each answer streamed, all of it sent along with the next one."""

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
from .failures import explain
from .samples import Sample, follow
from .terminal import note

if TYPE_CHECKING:
    from ..client.client import AsyncHumanloop
    from ..client.core import OpeningStream
    from ..client.stream import ChatStream

COMMANDS = """\
/clear     forget the conversation and begin a new one
/pick N    go on with sample N of the last answer, not with the first
/help      show this
/exit      end, as Ctrl-D does
Ctrl-C stops an answer; what came of it stays in the conversation."""

_COMMAND = re.compile(r"/([a-z]+)(?: +(\d+))?")


@dataclass(frozen=True, kw_only=True)
class ChatCall:
    """What every call of a conversation has in common. `system` is a template, filled with `inputs`."""

    model_config: ModelConfigChatRequest
    system: str | None = None
    inputs: Mapping[str, str]
    project: str | None = None
    num_samples: int = 1

    def open(
        self, client: AsyncHumanloop, messages: list[ChatMessage], session: str | None = None
    ) -> OpeningStream[ChatStream]:
        """The streamed call, not sent yet."""
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
    """The messages so far, and the samples of the last answer."""

    call: ChatCall
    messages: list[ChatMessage] = field(default_factory=list[ChatMessage])
    last: list[Sample] = field(default_factory=list[Sample])
    session: str = field(default_factory=lambda: uuid.uuid4().hex)

    async def ask(self, client: AsyncHumanloop, question: str) -> None:
        """Stream the answer to a question. A question that got no words in answer is taken back."""
        samples = [Sample(index) for index in range(self.call.num_samples)]
        self.messages.append(ChatMessage(role="user", content=question))
        try:
            await follow(self.call.open(client, self.messages, self.session), samples)
        finally:
            if answered := next((sample for sample in samples if sample.pieces), None):
                self.last = samples
                self.messages.append(ChatMessage(role="assistant", content=answered.text.rstrip()))
            else:
                self.messages.pop()

    def clear(self) -> None:
        self.messages.clear()
        self.last = []
        self.session = uuid.uuid4().hex

    def pick(self, index: int) -> str:
        """Go on with another sample of the last answer; says what came of it."""
        if not self.last:
            return "there is no answer to pick from yet"
        if index >= len(self.last) or not self.last[index].pieces:
            return f"the last answer has no sample {index}"
        self.messages[-1] = ChatMessage(role="assistant", content=self.last[index].text.rstrip())
        return f"going on with sample {index}"


def converse(client: AsyncHumanloop, call: ChatCall) -> None:
    """Talk in the terminal until Ctrl-D or ``/exit``. An error ends an answer, not the conversation."""
    with suppress(ImportError):  # Windows has none
        importlib.import_module("readline")  # gives input() history and editing
    conversation = Conversation(call)
    config = call.model_config
    note(f"{config.model}, provider {config.provider}, at {client.base_url}")
    note("/help lists the commands, Ctrl-D ends.\n")
    with asyncio.Runner() as runner:
        try:
            going_on = True
            while going_on:
                try:
                    going_on = _take_turn(runner, conversation, client)
                except KeyboardInterrupt:
                    note("\n(Ctrl-D or /exit ends)")
        finally:
            runner.run(client.aclose())


def _take_turn(runner: asyncio.Runner, conversation: Conversation, client: AsyncHumanloop) -> bool:
    """Read a line and do what it says; whether to go on."""
    try:
        line = input("> ").strip()
    except EOFError:
        print()
        return False
    if command := _COMMAND.fullmatch(line):
        if command[1] == "exit":
            return False
        note(_obey(conversation, command) + "\n")
    elif line:
        _answer(runner, conversation, client, line)
    return True


def _obey(conversation: Conversation, command: re.Match[str]) -> str:
    match command[1], command[2]:
        case "clear", None:
            conversation.clear()
            return "a new conversation"
        case "pick", str(index):
            return conversation.pick(int(index))
        case "help", None:
            return COMMANDS
        case _:
            return f"unknown command {command[0]}\n{COMMANDS}"


def _answer(runner: asyncio.Runner, conversation: Conversation, client: AsyncHumanloop, question: str) -> None:
    # The runner turns Ctrl-C into the cancellation of this one answer; client and connections live on.
    try:
        runner.run(conversation.ask(client, question))
    except KeyboardInterrupt:
        note("(stopped)")
    except ApiException as exc:
        note(f"error: {explain(exc)}")
    print()
