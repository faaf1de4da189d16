"""The calls by resource: signatures and docstrings; `Core` does the work."""

from __future__ import annotations

from functools import partial
from typing import Literal, Unpack, overload

from ..types import ChatResponse, CompletionResponse
from ..wire.operations import generation as ops
from .core import OpeningStream, Resource
from .params import (
    ChatCreateParams,
    ChatDeployedParams,
    ChatExperimentParams,
    ChatModelConfigParams,
    CompleteDeployedParams,
    CompleteExperimentParams,
    CompleteModelConfigParams,
    CompleteParams,
)
from .stream import ChatStream, CompletionStream


class Completions(Resource):
    """The four completion calls, each plain and streamed.

    All take keyword arguments only; `params` lists them. Plain calls give a `CompletionResponse`, or with
    ``stream=True`` an opened `CompletionStream`. The ``_stream`` forms work as ``async with`` and as ``await``.

    Raises, all of them:
        StatusError: The server refused; its subclasses say how.
        ApiConnectionError, ConnectTimeout, TotalTimeout: No answer.
        InvalidArgument: An argument has no JSON form; nothing was sent.
        InvalidResponse: The answer is not what v4 documents.

    Connection errors and the statuses 408, 409, 429 and 5xx are retried, a stream only before its first event. A
    cancelled call closes its connection.
    """

    @overload
    async def create(
        self: Resource, *, stream: Literal[False] = False, **params: Unpack[CompleteParams]
    ) -> CompletionResponse: ...
    @overload
    async def create(
        self: Resource, *, stream: Literal[True], **params: Unpack[CompleteParams]
    ) -> CompletionStream: ...
    @overload
    async def create(
        self: Resource, *, stream: bool, **params: Unpack[CompleteParams]
    ) -> CompletionResponse | CompletionStream: ...
    async def create(
        self: Resource, *, stream: bool = False, **params: Unpack[CompleteParams]
    ) -> CompletionResponse | CompletionStream:
        """Complete a prompt with the model configuration in the call.

        Source: Humanloop API v4, POST /completion.
        """
        if stream:
            return await self._core.open_completion(ops.COMPLETE, params)
        return await self._core.call(ops.COMPLETE, params)

    def create_stream(self: Resource, **params: Unpack[CompleteParams]) -> OpeningStream[CompletionStream]:
        """Stream `create`: the samples of one call arrive interleaved, each with an iterator of its own.

        Source: Humanloop API v4, POST /completion with ``stream``.
        """
        return OpeningStream(partial(self._core.open_completion, ops.COMPLETE, params))

    @overload
    async def create_deployed(
        self: Resource, *, stream: Literal[False] = False, **params: Unpack[CompleteDeployedParams]
    ) -> CompletionResponse: ...
    @overload
    async def create_deployed(
        self: Resource, *, stream: Literal[True], **params: Unpack[CompleteDeployedParams]
    ) -> CompletionStream: ...
    @overload
    async def create_deployed(
        self: Resource, *, stream: bool, **params: Unpack[CompleteDeployedParams]
    ) -> CompletionResponse | CompletionStream: ...
    async def create_deployed(
        self: Resource, *, stream: bool = False, **params: Unpack[CompleteDeployedParams]
    ) -> CompletionResponse | CompletionStream:
        """Complete a prompt with what is deployed to a project's environment.

        Source: Humanloop API v4, POST /completion-deployed.
        """
        if stream:
            return await self._core.open_completion(ops.COMPLETE_DEPLOYED, params)
        return await self._core.call(ops.COMPLETE_DEPLOYED, params)

    def create_deployed_stream(
        self: Resource, **params: Unpack[CompleteDeployedParams]
    ) -> OpeningStream[CompletionStream]:
        """Stream `create_deployed`: the samples of one call arrive interleaved, each with an iterator of its own.

        Source: Humanloop API v4, POST /completion-deployed with ``stream``.
        """
        return OpeningStream(partial(self._core.open_completion, ops.COMPLETE_DEPLOYED, params))

    @overload
    async def create_experiment(
        self: Resource, *, stream: Literal[False] = False, **params: Unpack[CompleteExperimentParams]
    ) -> CompletionResponse: ...
    @overload
    async def create_experiment(
        self: Resource, *, stream: Literal[True], **params: Unpack[CompleteExperimentParams]
    ) -> CompletionStream: ...
    @overload
    async def create_experiment(
        self: Resource, *, stream: bool, **params: Unpack[CompleteExperimentParams]
    ) -> CompletionResponse | CompletionStream: ...
    async def create_experiment(
        self: Resource, *, stream: bool = False, **params: Unpack[CompleteExperimentParams]
    ) -> CompletionResponse | CompletionStream:
        """Complete a prompt with a configuration sampled from an experiment.

        Source: Humanloop API v4, POST /completion-experiment.
        """
        if stream:
            return await self._core.open_completion(ops.COMPLETE_EXPERIMENT, params)
        return await self._core.call(ops.COMPLETE_EXPERIMENT, params)

    def create_experiment_stream(
        self: Resource, **params: Unpack[CompleteExperimentParams]
    ) -> OpeningStream[CompletionStream]:
        """Stream `create_experiment`: the samples of one call arrive interleaved, each with an iterator of its own.

        Source: Humanloop API v4, POST /completion-experiment with ``stream``.
        """
        return OpeningStream(partial(self._core.open_completion, ops.COMPLETE_EXPERIMENT, params))

    @overload
    async def create_model_config(
        self: Resource, *, stream: Literal[False] = False, **params: Unpack[CompleteModelConfigParams]
    ) -> CompletionResponse: ...
    @overload
    async def create_model_config(
        self: Resource, *, stream: Literal[True], **params: Unpack[CompleteModelConfigParams]
    ) -> CompletionStream: ...
    @overload
    async def create_model_config(
        self: Resource, *, stream: bool, **params: Unpack[CompleteModelConfigParams]
    ) -> CompletionResponse | CompletionStream: ...
    async def create_model_config(
        self: Resource, *, stream: bool = False, **params: Unpack[CompleteModelConfigParams]
    ) -> CompletionResponse | CompletionStream:
        """Complete a prompt with a stored model configuration.

        Source: Humanloop API v4, POST /completion-model-config.
        """
        if stream:
            return await self._core.open_completion(ops.COMPLETE_MODEL_CONFIG, params)
        return await self._core.call(ops.COMPLETE_MODEL_CONFIG, params)

    def create_model_config_stream(
        self: Resource, **params: Unpack[CompleteModelConfigParams]
    ) -> OpeningStream[CompletionStream]:
        """Stream `create_model_config`: the samples of one call arrive interleaved, each with an iterator of its own.

        Source: Humanloop API v4, POST /completion-model-config with ``stream``.
        """
        return OpeningStream(partial(self._core.open_completion, ops.COMPLETE_MODEL_CONFIG, params))


class Chats(Resource):
    """The four chat calls, each plain and streamed.

    All take keyword arguments only; `params` lists them. Plain calls give a `ChatResponse`, or with
    ``stream=True`` an opened `ChatStream`. The ``_stream`` forms work as ``async with`` and as ``await``.

    Raises, all of them:
        StatusError: The server refused; its subclasses say how.
        ApiConnectionError, ConnectTimeout, TotalTimeout: No answer.
        InvalidArgument: An argument has no JSON form; nothing was sent.
        InvalidResponse: The answer is not what v4 documents.

    Connection errors and the statuses 408, 409, 429 and 5xx are retried, a stream only before its first event. A
    cancelled call closes its connection.
    """

    @overload
    async def create(
        self: Resource, *, stream: Literal[False] = False, **params: Unpack[ChatCreateParams]
    ) -> ChatResponse: ...
    @overload
    async def create(self: Resource, *, stream: Literal[True], **params: Unpack[ChatCreateParams]) -> ChatStream: ...
    @overload
    async def create(
        self: Resource, *, stream: bool, **params: Unpack[ChatCreateParams]
    ) -> ChatResponse | ChatStream: ...
    async def create(
        self: Resource, *, stream: bool = False, **params: Unpack[ChatCreateParams]
    ) -> ChatResponse | ChatStream:
        """Continue a conversation with the model configuration in the call.

        Source: Humanloop API v4, POST /chat.
        """
        if stream:
            return await self._core.open_chat(ops.CHAT, params)
        return await self._core.call(ops.CHAT, params)

    def create_stream(self: Resource, **params: Unpack[ChatCreateParams]) -> OpeningStream[ChatStream]:
        """Stream `create`: the samples of one call arrive interleaved, each with an iterator of its own.

        Source: Humanloop API v4, POST /chat with ``stream``.
        """
        return OpeningStream(partial(self._core.open_chat, ops.CHAT, params))

    @overload
    async def create_deployed(
        self: Resource, *, stream: Literal[False] = False, **params: Unpack[ChatDeployedParams]
    ) -> ChatResponse: ...
    @overload
    async def create_deployed(
        self: Resource, *, stream: Literal[True], **params: Unpack[ChatDeployedParams]
    ) -> ChatStream: ...
    @overload
    async def create_deployed(
        self: Resource, *, stream: bool, **params: Unpack[ChatDeployedParams]
    ) -> ChatResponse | ChatStream: ...
    async def create_deployed(
        self: Resource, *, stream: bool = False, **params: Unpack[ChatDeployedParams]
    ) -> ChatResponse | ChatStream:
        """Continue a conversation with what is deployed to a project's environment.

        Source: Humanloop API v4, POST /chat-deployed.
        """
        if stream:
            return await self._core.open_chat(ops.CHAT_DEPLOYED, params)
        return await self._core.call(ops.CHAT_DEPLOYED, params)

    def create_deployed_stream(self: Resource, **params: Unpack[ChatDeployedParams]) -> OpeningStream[ChatStream]:
        """Stream `create_deployed`: the samples of one call arrive interleaved, each with an iterator of its own.

        Source: Humanloop API v4, POST /chat-deployed with ``stream``.
        """
        return OpeningStream(partial(self._core.open_chat, ops.CHAT_DEPLOYED, params))

    @overload
    async def create_experiment(
        self: Resource, *, stream: Literal[False] = False, **params: Unpack[ChatExperimentParams]
    ) -> ChatResponse: ...
    @overload
    async def create_experiment(
        self: Resource, *, stream: Literal[True], **params: Unpack[ChatExperimentParams]
    ) -> ChatStream: ...
    @overload
    async def create_experiment(
        self: Resource, *, stream: bool, **params: Unpack[ChatExperimentParams]
    ) -> ChatResponse | ChatStream: ...
    async def create_experiment(
        self: Resource, *, stream: bool = False, **params: Unpack[ChatExperimentParams]
    ) -> ChatResponse | ChatStream:
        """Continue a conversation with a configuration sampled from an experiment.

        Source: Humanloop API v4, POST /chat-experiment.
        """
        if stream:
            return await self._core.open_chat(ops.CHAT_EXPERIMENT, params)
        return await self._core.call(ops.CHAT_EXPERIMENT, params)

    def create_experiment_stream(self: Resource, **params: Unpack[ChatExperimentParams]) -> OpeningStream[ChatStream]:
        """Stream `create_experiment`: the samples of one call arrive interleaved, each with an iterator of its own.

        Source: Humanloop API v4, POST /chat-experiment with ``stream``.
        """
        return OpeningStream(partial(self._core.open_chat, ops.CHAT_EXPERIMENT, params))

    @overload
    async def create_model_config(
        self: Resource, *, stream: Literal[False] = False, **params: Unpack[ChatModelConfigParams]
    ) -> ChatResponse: ...
    @overload
    async def create_model_config(
        self: Resource, *, stream: Literal[True], **params: Unpack[ChatModelConfigParams]
    ) -> ChatStream: ...
    @overload
    async def create_model_config(
        self: Resource, *, stream: bool, **params: Unpack[ChatModelConfigParams]
    ) -> ChatResponse | ChatStream: ...
    async def create_model_config(
        self: Resource, *, stream: bool = False, **params: Unpack[ChatModelConfigParams]
    ) -> ChatResponse | ChatStream:
        """Continue a conversation with a stored model configuration.

        Source: Humanloop API v4, POST /chat-model-config.
        """
        if stream:
            return await self._core.open_chat(ops.CHAT_MODEL_CONFIG, params)
        return await self._core.call(ops.CHAT_MODEL_CONFIG, params)

    def create_model_config_stream(
        self: Resource, **params: Unpack[ChatModelConfigParams]
    ) -> OpeningStream[ChatStream]:
        """Stream `create_model_config`: the samples of one call arrive interleaved, each with an iterator of its own.

        Source: Humanloop API v4, POST /chat-model-config with ``stream``.
        """
        return OpeningStream(partial(self._core.open_chat, ops.CHAT_MODEL_CONFIG, params))
