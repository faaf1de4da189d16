"""Assemble tool calls from the pieces that OpenAI and compatible servers stream."""

from __future__ import annotations

import msgspec
from msgspec import Struct, field

from ...types import FunctionTool, ToolCall
from .openai_json import Function, ToolCallPiece
from .reading import UNDECODABLE, MalformedResponse, join_surrogates


class _Call(Struct, eq=False):
    index: int | None
    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list[str])

    @property
    def is_complete(self) -> bool:
        """Whether the arguments are a whole JSON object. More pieces of this call cannot follow."""
        text = "".join(self.arguments)
        try:
            return isinstance(msgspec.json.decode(text), dict)
        except UNDECODABLE:
            return False


class ToolCalls:
    """The tool calls of one sample.

    OpenAI sends an ``index`` with each piece, and ``id`` and name with the first piece of a call. Other servers

    - send index 0 for all calls (Ollama, LMDeploy, SGLang),
    - omit the index, or the index and the id (Gemini, older Ollama),
    - repeat id and name with each piece, or send another id with each (Poolside),
    - send the arguments as an object (Text Generation Inference).

    All of these can be understood in only one way, because the arguments of a call are one JSON object.
    """

    def __init__(self) -> None:
        self._calls: list[_Call] = []

    def add(self, piece: ToolCallPiece) -> None:
        """Add a piece to the call that it continues, or begin another call with it."""
        function = piece.function or Function(piece.name, piece.arguments)
        name, arguments, call_id = function.name or "", function.arguments or "", piece.id or ""
        call = self._find(piece.index, call_id, name)
        if call is None or self._begins_another(call, call_id, name, arguments, piece.index):
            call = _Call(piece.index)
            self._calls.append(call)
        call.id = call.id or call_id
        call.name = call.name or name
        if not arguments:
            return
        whole = "".join(call.arguments)
        if whole.strip() == "{}" and arguments.lstrip().startswith("{"):
            call.arguments = []  # a placeholder for the arguments that follow
        elif name and whole == arguments and call.is_complete:
            return  # the server sends the whole call again at its end
        call.arguments.append(arguments)

    def _find(self, index: int | None, call_id: str, name: str) -> _Call | None:
        """Return the call that a piece with this index, id and name may continue."""
        calls = self._calls
        by_id = next((call for call in reversed(calls) if call.id == call_id), None) if call_id else None
        if by_id is not None:
            return by_id
        if index is not None:
            return next((call for call in reversed(calls) if call.index == index), None)
        return calls[-1] if calls and not (call_id and name) else None

    def _begins_another(self, call: _Call, call_id: str, name: str, arguments: str, index: int | None) -> bool:
        is_other_id = bool(call_id and call.id and call_id != call.id)
        if not name:
            # A piece without a name continues the call, also with another id, until the arguments are complete.
            return is_other_id and not arguments and call.is_complete
        if not call.name:
            return is_other_id
        if name != call.name:
            return True
        if is_other_id or (index is not None and call.index is not None and index != call.index):
            return not call.arguments or call.is_complete
        repeats = "".join(call.arguments) == arguments and call_id != "" and index == call.index
        return bool(arguments) and call.is_complete and not repeats

    def complete(self, sample: int) -> list[ToolCall] | None:
        """Return all calls in the order of their indexes, or None if there are none.

        A call without an id, or with the id of another one, gets an id: callers use it to return the result.

        Raises:
            MalformedResponse: A call has no name.
        """
        calls = [call for call in self._calls if call.name or call.arguments or call.id]
        position = {id(call): place for place, call in enumerate(calls)}
        calls.sort(key=lambda call: position[id(call)] if call.index is None else call.index)
        ids: set[str] = set()
        complete: list[ToolCall] = []
        for place, call in enumerate(calls):
            if not call.name:
                raise MalformedResponse(f"tool call {place} of sample {sample} has no name")
            call_id = call.id or f"call_{sample}_{place}"
            if call_id in ids:
                call_id = f"{call_id}_{place}"
            ids.add(call_id)
            arguments = join_surrogates("".join(call.arguments))
            complete.append(ToolCall(id=call_id, function=FunctionTool(name=call.name, arguments=arguments)))
        return complete or None
