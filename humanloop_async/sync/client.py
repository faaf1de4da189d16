"""`Humanloop`: the async client's names as plain methods."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Unpack

from ..client.client import AsyncHumanloop
from ..client.params import CallOptions
from ..types import ProjectConfigResponse, ResponseList
from .logs import FeedbackApi, Logs, Sessions
from .loop_thread import LoopThread
from .projects import Experiments, ModelConfigs, Projects
from .resources import Chats, Completions

P = ParamSpec("P")


def _same_arguments(
    _init: Callable[Concatenate[Any, P], None],
) -> Callable[[Callable[..., None]], Callable[Concatenate[Any, P], None]]:
    """Gives a method the signature of another one, for readers and for type checkers."""

    def decorate(method: Callable[..., None]) -> Callable[Concatenate[Any, P], None]:
        method.__signature__ = inspect.signature(_init)  # type: ignore[attr-defined]
        return method

    return decorate


class Humanloop:
    """Sync client for the v4 API: `AsyncHumanloop` over a background event loop of its own.

    Takes the same arguments. ``with`` it, or call `close` when done. Threads may share it, also those
    of an async program, where coroutines should use `AsyncHumanloop`. After a fork, the child opens
    connections of its own.
    """

    @_same_arguments(AsyncHumanloop.__init__)
    def __init__(self, *args: Any, **settings: Any) -> None:
        self._client = AsyncHumanloop(*args, **settings)
        self._client._in_sync_client = True
        self._loop = LoopThread(self._client.aclose)
        self.completions = Completions(self._loop, self._client.completions)
        self.chats = Chats(self._loop, self._client.chats)
        self.projects = Projects(self._loop, self._client.projects)
        self.model_configs = ModelConfigs(self._loop, self._client.model_configs)
        self.experiments = Experiments(self._loop, self._client.experiments)
        self.sessions = Sessions(self._loop, self._client.sessions)
        self.logs = Logs(self._loop, self._client.logs)
        self.feedback_api = FeedbackApi(self._loop, self._client.feedback_api)

        self.log = self.logs.log
        self.feedback = self.feedback_api.feedback
        self.complete = self.completions.create
        self.complete_stream = self.completions.create_stream
        self.complete_deployed = self.completions.create_deployed
        self.complete_deployed_stream = self.completions.create_deployed_stream
        self.complete_experiment = self.completions.create_experiment
        self.complete_experiment_stream = self.completions.create_experiment_stream
        self.complete_model_configuration = self.completions.create_model_config
        self.complete_model_configuration_stream = self.completions.create_model_config_stream
        self.chat = self.chats.create
        self.chat_stream = self.chats.create_stream
        self.chat_deployed = self.chats.create_deployed
        self.chat_deployed_stream = self.chats.create_deployed_stream
        self.chat_experiment = self.chats.create_experiment
        self.chat_experiment_stream = self.chats.create_experiment_stream
        self.chat_model_config = self.chats.create_model_config
        self.chat_model_config_stream = self.chats.create_model_config_stream

    def get_configs(self, project_id: str, **options: Unpack[CallOptions]) -> ResponseList[ProjectConfigResponse]:
        """A project's configurations: `projects.list_configs` under another name."""
        return self.projects.list_configs(project_id, **options)

    @property
    def base_url(self) -> str:
        """Where the API is, without a trailing slash."""
        return self._client.base_url

    def __repr__(self) -> str:
        return f"Humanloop(base_url={self.base_url!r})"

    def __enter__(self) -> Humanloop:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections and stop the background thread; twice does no harm."""
        self._client._core.closed = True
        self._loop.stop()
