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
from .resource import Resource, documented
from .stream import SyncChatStream, SyncCompletionStream

StreamT = TypeVar("StreamT", CompletionStream, ChatStream)


@documented(resources.Completions)
class Completions(Resource):
    """The four completion calls, each plain and streamed. A stream is open when its call returns."""

    @overload
    def create(
        self: Resource, *, stream: Literal[False] = False, **params: Unpack[CompleteParams]
    ) -> CompletionResponse: ...
    @overload
    def create(self: Resource, *, stream: Literal[True], **params: Unpack[CompleteParams]) -> SyncCompletionStream: ...
    @overload
    def create(
        self: Resource, *, stream: bool, **params: Unpack[CompleteParams]
    ) -> CompletionResponse | SyncCompletionStream: ...
    def create(
        self: Resource, *, stream: bool = False, **params: Unpack[CompleteParams]
    ) -> CompletionResponse | SyncCompletionStream:
        if stream:
            return Completions.create_stream(self, **params)
        return self._loop.call(partial(self._client.completions.create, **params))

    def create_stream(self: Resource, **params: Unpack[CompleteParams]) -> SyncCompletionStream:
        return _completion(self._loop, self._client.completions.create_stream(**params))

    @overload
    def create_deployed(
        self: Resource, *, stream: Literal[False] = False, **params: Unpack[CompleteDeployedParams]
    ) -> CompletionResponse: ...
    @overload
    def create_deployed(
        self: Resource, *, stream: Literal[True], **params: Unpack[CompleteDeployedParams]
    ) -> SyncCompletionStream: ...
    @overload
    def create_deployed(
        self: Resource, *, stream: bool, **params: Unpack[CompleteDeployedParams]
    ) -> CompletionResponse | SyncCompletionStream: ...
    def create_deployed(
        self: Resource, *, stream: bool = False, **params: Unpack[CompleteDeployedParams]
    ) -> CompletionResponse | SyncCompletionStream:
        if stream:
            return Completions.create_deployed_stream(self, **params)
        return self._loop.call(partial(self._client.completions.create_deployed, **params))

    def create_deployed_stream(self: Resource, **params: Unpack[CompleteDeployedParams]) -> SyncCompletionStream:
        return _completion(self._loop, self._client.completions.create_deployed_stream(**params))

    @overload
    def create_experiment(
        self: Resource, *, stream: Literal[False] = False, **params: Unpack[CompleteExperimentParams]
    ) -> CompletionResponse: ...
    @overload
    def create_experiment(
        self: Resource, *, stream: Literal[True], **params: Unpack[CompleteExperimentParams]
    ) -> SyncCompletionStream: ...
    @overload
    def create_experiment(
        self: Resource, *, stream: bool, **params: Unpack[CompleteExperimentParams]
    ) -> CompletionResponse | SyncCompletionStream: ...
    def create_experiment(
        self: Resource, *, stream: bool = False, **params: Unpack[CompleteExperimentParams]
    ) -> CompletionResponse | SyncCompletionStream:
        if stream:
            return Completions.create_experiment_stream(self, **params)
        return self._loop.call(partial(self._client.completions.create_experiment, **params))

    def create_experiment_stream(self: Resource, **params: Unpack[CompleteExperimentParams]) -> SyncCompletionStream:
        return _completion(self._loop, self._client.completions.create_experiment_stream(**params))

    @overload
    def create_model_config(
        self: Resource, *, stream: Literal[False] = False, **params: Unpack[CompleteModelConfigParams]
    ) -> CompletionResponse: ...
    @overload
    def create_model_config(
        self: Resource, *, stream: Literal[True], **params: Unpack[CompleteModelConfigParams]
    ) -> SyncCompletionStream: ...
    @overload
    def create_model_config(
        self: Resource, *, stream: bool, **params: Unpack[CompleteModelConfigParams]
    ) -> CompletionResponse | SyncCompletionStream: ...
    def create_model_config(
        self: Resource, *, stream: bool = False, **params: Unpack[CompleteModelConfigParams]
    ) -> CompletionResponse | SyncCompletionStream:
        if stream:
            return Completions.create_model_config_stream(self, **params)
        return self._loop.call(partial(self._client.completions.create_model_config, **params))

    def create_model_config_stream(self: Resource, **params: Unpack[CompleteModelConfigParams]) -> SyncCompletionStream:
        return _completion(self._loop, self._client.completions.create_model_config_stream(**params))


@documented(resources.Chats)
class Chats(Resource):
    """The four chat calls, each plain and streamed. A stream is open when its call returns."""

    @overload
    def create(
        self: Resource, *, stream: Literal[False] = False, **params: Unpack[ChatCreateParams]
    ) -> ChatResponse: ...
    @overload
    def create(self: Resource, *, stream: Literal[True], **params: Unpack[ChatCreateParams]) -> SyncChatStream: ...
    @overload
    def create(
        self: Resource, *, stream: bool, **params: Unpack[ChatCreateParams]
    ) -> ChatResponse | SyncChatStream: ...
    def create(
        self: Resource, *, stream: bool = False, **params: Unpack[ChatCreateParams]
    ) -> ChatResponse | SyncChatStream:
        if stream:
            return Chats.create_stream(self, **params)
        return self._loop.call(partial(self._client.chats.create, **params))

    def create_stream(self: Resource, **params: Unpack[ChatCreateParams]) -> SyncChatStream:
        return _chat(self._loop, self._client.chats.create_stream(**params))

    @overload
    def create_deployed(
        self: Resource, *, stream: Literal[False] = False, **params: Unpack[ChatDeployedParams]
    ) -> ChatResponse: ...
    @overload
    def create_deployed(
        self: Resource, *, stream: Literal[True], **params: Unpack[ChatDeployedParams]
    ) -> SyncChatStream: ...
    @overload
    def create_deployed(
        self: Resource, *, stream: bool, **params: Unpack[ChatDeployedParams]
    ) -> ChatResponse | SyncChatStream: ...
    def create_deployed(
        self: Resource, *, stream: bool = False, **params: Unpack[ChatDeployedParams]
    ) -> ChatResponse | SyncChatStream:
        if stream:
            return Chats.create_deployed_stream(self, **params)
        return self._loop.call(partial(self._client.chats.create_deployed, **params))

    def create_deployed_stream(self: Resource, **params: Unpack[ChatDeployedParams]) -> SyncChatStream:
        return _chat(self._loop, self._client.chats.create_deployed_stream(**params))

    @overload
    def create_experiment(
        self: Resource, *, stream: Literal[False] = False, **params: Unpack[ChatExperimentParams]
    ) -> ChatResponse: ...
    @overload
    def create_experiment(
        self: Resource, *, stream: Literal[True], **params: Unpack[ChatExperimentParams]
    ) -> SyncChatStream: ...
    @overload
    def create_experiment(
        self: Resource, *, stream: bool, **params: Unpack[ChatExperimentParams]
    ) -> ChatResponse | SyncChatStream: ...
    def create_experiment(
        self: Resource, *, stream: bool = False, **params: Unpack[ChatExperimentParams]
    ) -> ChatResponse | SyncChatStream:
        if stream:
            return Chats.create_experiment_stream(self, **params)
        return self._loop.call(partial(self._client.chats.create_experiment, **params))

    def create_experiment_stream(self: Resource, **params: Unpack[ChatExperimentParams]) -> SyncChatStream:
        return _chat(self._loop, self._client.chats.create_experiment_stream(**params))

    @overload
    def create_model_config(
        self: Resource, *, stream: Literal[False] = False, **params: Unpack[ChatModelConfigParams]
    ) -> ChatResponse: ...
    @overload
    def create_model_config(
        self: Resource, *, stream: Literal[True], **params: Unpack[ChatModelConfigParams]
    ) -> SyncChatStream: ...
    @overload
    def create_model_config(
        self: Resource, *, stream: bool, **params: Unpack[ChatModelConfigParams]
    ) -> ChatResponse | SyncChatStream: ...
    def create_model_config(
        self: Resource, *, stream: bool = False, **params: Unpack[ChatModelConfigParams]
    ) -> ChatResponse | SyncChatStream:
        if stream:
            return Chats.create_model_config_stream(self, **params)
        return self._loop.call(partial(self._client.chats.create_model_config, **params))

    def create_model_config_stream(self: Resource, **params: Unpack[ChatModelConfigParams]) -> SyncChatStream:
        return _chat(self._loop, self._client.chats.create_model_config_stream(**params))


def _completion(loop: LoopThread, opening: OpeningStream[CompletionStream]) -> SyncCompletionStream:
    return SyncCompletionStream(loop, loop.call(_opened, opening))


def _chat(loop: LoopThread, opening: OpeningStream[ChatStream]) -> SyncChatStream:
    return SyncChatStream(loop, loop.call(_opened, opening))


async def _opened(opening: OpeningStream[StreamT]) -> StreamT:
    return await opening
