"""The calls by resource, as plain methods; the async ones in `humanloop_async.client.resources` explain them."""

from __future__ import annotations

from functools import partial
from typing import Literal, TypeVar, Unpack, overload

from ..client import resources
from ..client.core import OpeningStream
from ..client.params import (
    ChatCreateParams,
    ChatDeployedParams,
    ChatExperimentParams,
    ChatModelConfigParams,
    CompleteDeployedParams,
    CompleteExperimentParams,
    CompleteModelConfigParams,
    CompleteParams,
)
from ..client.stream import ChatStream, CompletionStream
from ..types import ChatResponse, CompletionResponse
from .loop_thread import LoopThread
from .stream import SyncChatStream, SyncCompletionStream

StreamT = TypeVar("StreamT", CompletionStream, ChatStream)


class Completions:
    """The four completion calls, each plain and streamed. See the async class of this name."""

    def __init__(self, loop: LoopThread, calls: resources.Completions) -> None:
        self._loop = loop
        self._calls = calls

    @overload
    def create(self, *, stream: Literal[False] = False, **params: Unpack[CompleteParams]) -> CompletionResponse: ...
    @overload
    def create(self, *, stream: Literal[True], **params: Unpack[CompleteParams]) -> SyncCompletionStream: ...
    def create(
        self, *, stream: bool = False, **params: Unpack[CompleteParams]
    ) -> CompletionResponse | SyncCompletionStream:
        """See `AsyncHumanloop`."""
        if stream:
            return self.create_stream(**params)
        return self._loop.call(partial(self._calls.create, **params))

    def create_stream(self, **params: Unpack[CompleteParams]) -> SyncCompletionStream:
        """See `AsyncHumanloop`; the stream is open when this returns."""
        return SyncCompletionStream(self._loop, self._loop.call(_opened, self._calls.create_stream(**params)))

    @overload
    def create_deployed(
        self, *, stream: Literal[False] = False, **params: Unpack[CompleteDeployedParams]
    ) -> CompletionResponse: ...
    @overload
    def create_deployed(
        self, *, stream: Literal[True], **params: Unpack[CompleteDeployedParams]
    ) -> SyncCompletionStream: ...
    def create_deployed(
        self, *, stream: bool = False, **params: Unpack[CompleteDeployedParams]
    ) -> CompletionResponse | SyncCompletionStream:
        """See `AsyncHumanloop`."""
        if stream:
            return self.create_deployed_stream(**params)
        return self._loop.call(partial(self._calls.create_deployed, **params))

    def create_deployed_stream(self, **params: Unpack[CompleteDeployedParams]) -> SyncCompletionStream:
        """See `AsyncHumanloop`; the stream is open when this returns."""
        return SyncCompletionStream(self._loop, self._loop.call(_opened, self._calls.create_deployed_stream(**params)))

    @overload
    def create_experiment(
        self, *, stream: Literal[False] = False, **params: Unpack[CompleteExperimentParams]
    ) -> CompletionResponse: ...
    @overload
    def create_experiment(
        self, *, stream: Literal[True], **params: Unpack[CompleteExperimentParams]
    ) -> SyncCompletionStream: ...
    def create_experiment(
        self, *, stream: bool = False, **params: Unpack[CompleteExperimentParams]
    ) -> CompletionResponse | SyncCompletionStream:
        """See `AsyncHumanloop`."""
        if stream:
            return self.create_experiment_stream(**params)
        return self._loop.call(partial(self._calls.create_experiment, **params))

    def create_experiment_stream(self, **params: Unpack[CompleteExperimentParams]) -> SyncCompletionStream:
        """See `AsyncHumanloop`; the stream is open when this returns."""
        return SyncCompletionStream(
            self._loop, self._loop.call(_opened, self._calls.create_experiment_stream(**params))
        )

    @overload
    def create_model_config(
        self, *, stream: Literal[False] = False, **params: Unpack[CompleteModelConfigParams]
    ) -> CompletionResponse: ...
    @overload
    def create_model_config(
        self, *, stream: Literal[True], **params: Unpack[CompleteModelConfigParams]
    ) -> SyncCompletionStream: ...
    def create_model_config(
        self, *, stream: bool = False, **params: Unpack[CompleteModelConfigParams]
    ) -> CompletionResponse | SyncCompletionStream:
        """See `AsyncHumanloop`."""
        if stream:
            return self.create_model_config_stream(**params)
        return self._loop.call(partial(self._calls.create_model_config, **params))

    def create_model_config_stream(self, **params: Unpack[CompleteModelConfigParams]) -> SyncCompletionStream:
        """See `AsyncHumanloop`; the stream is open when this returns."""
        return SyncCompletionStream(
            self._loop, self._loop.call(_opened, self._calls.create_model_config_stream(**params))
        )


class Chats:
    """The four chat calls, each plain and streamed. See the async class of this name."""

    def __init__(self, loop: LoopThread, calls: resources.Chats) -> None:
        self._loop = loop
        self._calls = calls

    @overload
    def create(self, *, stream: Literal[False] = False, **params: Unpack[ChatCreateParams]) -> ChatResponse: ...
    @overload
    def create(self, *, stream: Literal[True], **params: Unpack[ChatCreateParams]) -> SyncChatStream: ...
    def create(self, *, stream: bool = False, **params: Unpack[ChatCreateParams]) -> ChatResponse | SyncChatStream:
        """See `AsyncHumanloop`."""
        if stream:
            return self.create_stream(**params)
        return self._loop.call(partial(self._calls.create, **params))

    def create_stream(self, **params: Unpack[ChatCreateParams]) -> SyncChatStream:
        """See `AsyncHumanloop`; the stream is open when this returns."""
        return SyncChatStream(self._loop, self._loop.call(_opened, self._calls.create_stream(**params)))

    @overload
    def create_deployed(
        self, *, stream: Literal[False] = False, **params: Unpack[ChatDeployedParams]
    ) -> ChatResponse: ...
    @overload
    def create_deployed(self, *, stream: Literal[True], **params: Unpack[ChatDeployedParams]) -> SyncChatStream: ...
    def create_deployed(
        self, *, stream: bool = False, **params: Unpack[ChatDeployedParams]
    ) -> ChatResponse | SyncChatStream:
        """See `AsyncHumanloop`."""
        if stream:
            return self.create_deployed_stream(**params)
        return self._loop.call(partial(self._calls.create_deployed, **params))

    def create_deployed_stream(self, **params: Unpack[ChatDeployedParams]) -> SyncChatStream:
        """See `AsyncHumanloop`; the stream is open when this returns."""
        return SyncChatStream(self._loop, self._loop.call(_opened, self._calls.create_deployed_stream(**params)))

    @overload
    def create_experiment(
        self, *, stream: Literal[False] = False, **params: Unpack[ChatExperimentParams]
    ) -> ChatResponse: ...
    @overload
    def create_experiment(self, *, stream: Literal[True], **params: Unpack[ChatExperimentParams]) -> SyncChatStream: ...
    def create_experiment(
        self, *, stream: bool = False, **params: Unpack[ChatExperimentParams]
    ) -> ChatResponse | SyncChatStream:
        """See `AsyncHumanloop`."""
        if stream:
            return self.create_experiment_stream(**params)
        return self._loop.call(partial(self._calls.create_experiment, **params))

    def create_experiment_stream(self, **params: Unpack[ChatExperimentParams]) -> SyncChatStream:
        """See `AsyncHumanloop`; the stream is open when this returns."""
        return SyncChatStream(self._loop, self._loop.call(_opened, self._calls.create_experiment_stream(**params)))

    @overload
    def create_model_config(
        self, *, stream: Literal[False] = False, **params: Unpack[ChatModelConfigParams]
    ) -> ChatResponse: ...
    @overload
    def create_model_config(
        self, *, stream: Literal[True], **params: Unpack[ChatModelConfigParams]
    ) -> SyncChatStream: ...
    def create_model_config(
        self, *, stream: bool = False, **params: Unpack[ChatModelConfigParams]
    ) -> ChatResponse | SyncChatStream:
        """See `AsyncHumanloop`."""
        if stream:
            return self.create_model_config_stream(**params)
        return self._loop.call(partial(self._calls.create_model_config, **params))

    def create_model_config_stream(self, **params: Unpack[ChatModelConfigParams]) -> SyncChatStream:
        """See `AsyncHumanloop`; the stream is open when this returns."""
        return SyncChatStream(self._loop, self._loop.call(_opened, self._calls.create_model_config_stream(**params)))


async def _opened(opening: OpeningStream[StreamT]) -> StreamT:
    return await opening
