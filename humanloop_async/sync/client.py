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
from .resource import Resource
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


class Humanloop(Resource):
    """Sync client for the v4 API: `AsyncHumanloop` over a background event loop of its own.

    Takes the same arguments. ``with`` it, or call `close` when done. Threads may share it, also those
    of an async program, where coroutines should use `AsyncHumanloop`. After a fork, the child opens
    connections of its own.
    """

    @_same_arguments(AsyncHumanloop.__init__)
    def __init__(self, *args: Any, **settings: Any) -> None:
        client = AsyncHumanloop(*args, **settings)
        client._in_sync_client = True
        super().__init__(LoopThread(client.aclose), client)
        self.completions: Completions = Completions(self._loop, client)
        self.chats: Chats = Chats(self._loop, client)
        self.projects: Projects = Projects(self._loop, client)
        self.model_configs: ModelConfigs = ModelConfigs(self._loop, client)
        self.experiments: Experiments = Experiments(self._loop, client)
        self.sessions: Sessions = Sessions(self._loop, client)
        self.logs: Logs = Logs(self._loop, client)
        self.feedback_api: FeedbackApi = FeedbackApi(self._loop, client)

    complete = Completions.create
    complete_stream = Completions.create_stream
    complete_deployed = Completions.create_deployed
    complete_deployed_stream = Completions.create_deployed_stream
    complete_experiment = Completions.create_experiment
    complete_experiment_stream = Completions.create_experiment_stream
    complete_model_configuration = Completions.create_model_config
    complete_model_configuration_stream = Completions.create_model_config_stream
    complete_model_config_stream = Completions.create_model_config_stream
    chat = Chats.create
    chat_stream = Chats.create_stream
    chat_deployed = Chats.create_deployed
    chat_deployed_stream = Chats.create_deployed_stream
    chat_experiment = Chats.create_experiment
    chat_experiment_stream = Chats.create_experiment_stream
    chat_model_config = Chats.create_model_config
    chat_model_configuration = Chats.create_model_config
    chat_model_config_stream = Chats.create_model_config_stream
    log = Logs.log
    feedback = FeedbackApi.feedback

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
