"""Build a `Generation` from a decoded request: check it, resolve its configuration, fill its template."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from ...types import (
    ChatFields,
    CompletionFields,
    FunctionToolChoice,
    GenerationRequest,
    ProviderApiKeys,
    ToolChoice,
    ToolChoiceValue,
    ToolResultResponse,
)
from ..errors import ApiError, InvalidRequest
from ..providers.base import ProviderCall, ProviderError
from ..providers.registry import Providers
from ..records.references import check_references, resolve_references
from ..settings import ServerSettings
from ..storage.database import Database
from ..storage.model_config import ModelConfig
from ..storage.snippet_tools import snippet_tools
from ..templates.jinja import Busy, JinjaRenderer
from ..templates.template import Snippets, TemplateError, called_tools, chat_texts, fill_with_tools, with_chat_texts
from .config_resolver import ConfigResolver
from .generation import Fallback, Generation, Target

FALLBACK = "fallback_config_id"
"""The field of a config's `other` that names the config to use while its provider fails."""


class GenerationBuilder(Struct):
    """Builds the generations of one server.

    It creates nothing in the database until the request has passed all other checks.
    """

    settings: ServerSettings
    database: Database
    config_resolver: ConfigResolver
    providers: Providers
    jinja: JinjaRenderer

    async def build(self, request: GenerationRequest, caller: str = "") -> Generation:
        """Return a generation that is ready to call its provider.

        Args:
            request: The request.
            caller: Identifies the caller, whose templates wait for each other.

        Raises:
            ApiError: The request is not valid (422), or refers to something that does not exist (404).
        """
        self._check(request)
        resolved = await self.config_resolver.resolve(request)
        target = await self._target(request, resolved.config, caller)
        fallback = await self._fallback(request, resolved.config, caller)
        context = await resolve_references(
            self.database,
            request,
            resolved.config_ref,
            project_id=resolved.project_id,
            environment=resolved.environment,
            trial=resolved.trial,
        )
        return Generation(request, target, context, fallback)

    async def _fallback(self, request: GenerationRequest, config: ModelConfig, caller: str) -> Fallback | None:
        """Return the call for the config that `config` names as its fallback. The fallback of that one has no effect.

        It is built beforehand, so that a mistake in it is found before the day on which it is needed.
        """
        if (config_id := config.other.get(FALLBACK)) is None:
            return None
        if not isinstance(config_id, str):
            raise InvalidRequest.at("model_config", "other", FALLBACK, msg="must be the id of a model config")
        try:
            return Fallback(config_id, await self._target(request, await self.config_resolver.find(config_id), caller))
        except ApiError as exc:
            raise ApiError(422 if exc.status == 404 else exc.status, f"{FALLBACK} {config_id!r:.80}: {exc}") from exc

    async def _target(self, request: GenerationRequest, config: ModelConfig, caller: str) -> Target:
        self._check_config(request, config)
        call, tool_results = await self._provider_call(request, config, caller)
        self._check_samples(request, call)
        try:
            provider = self.providers.get(config.provider)
            return Target(provider, call, provider.request_body(call), tool_results or None)
        except ProviderError as exc:
            raise ApiError.from_provider(exc) from exc

    def _check(self, request: GenerationRequest) -> None:
        if request.num_samples > self.settings.max_num_samples:
            raise InvalidRequest.at("num_samples", msg=f"must be at most {self.settings.max_num_samples}")
        check_references(request)

    def _check_samples(self, request: GenerationRequest, call: ProviderCall) -> None:
        if (number := request.num_samples) == 1:
            return
        repeated = [request.inputs, request.metadata, request.user, call.messages, call.prompt, call.tool_choice]
        limit = self.settings.max_samples_bytes
        if number * (size := len(msgspec.json.encode(repeated))) > limit:
            message = f"{number} samples of a call of {size} bytes exceed {limit} bytes; send several calls"
            raise InvalidRequest.at("num_samples", msg=message)

    def _check_config(self, request: GenerationRequest, config: ModelConfig) -> None:
        expected = "chat" if isinstance(request, ChatFields) else "complete"
        if config.endpoint == "edit":
            raise ApiError(422, "the model config's endpoint 'edit' is not supported; use 'complete' or 'chat'")
        if config.endpoint != expected:
            raise ApiError(422, f"the model config's endpoint is {config.endpoint!r}; this route needs {expected!r}")
        if expected == "complete" and config.prompt_template is None:
            raise InvalidRequest.at("model_config", "prompt_template", msg="field required", kind="value_error.missing")
        for tool in config.tools or ():
            if tool.name is None or (tool.source == "organization" and tool.parameters is None):
                raise ApiError(
                    422,
                    f"tool {tool.id or tool.name!r:.80} is incomplete; this server does not store tools, so "
                    "send its name, description and parameters",
                )

    async def _provider_call(
        self, request: GenerationRequest, config: ModelConfig, caller: str
    ) -> tuple[ProviderCall, list[ToolResultResponse]]:
        tool_results: list[ToolResultResponse] = []
        call = ProviderCall(
            provider=config.provider,
            model=config.model,
            num_samples=request.num_samples,
            max_tokens=None if config.max_tokens == -1 else config.max_tokens,
            temperature=config.temperature,
            top_p=config.top_p,
            stop=config.stop or [],
            presence_penalty=config.presence_penalty,
            frequency_penalty=config.frequency_penalty,
            seed=request.seed if config.seed is None else config.seed,
            response_format=config.response_format,
            tools=config.tools or [],
            user=request.user,
            reasoning_effort=config.reasoning_effort,
            other={name: value for name, value in config.other.items() if name != FALLBACK},
            keys=request.provider_api_keys or ProviderApiKeys(),
        )
        if isinstance(request, ChatFields):
            template = config.chat_template or []
            texts, tool_results = await self._render("chat_template", chat_texts(template), request, config, caller)
            call.messages = with_chat_texts(template, texts) + request.messages
            call.tool_choice = _tool_choice(request)
            call.response_format = request.response_format or config.response_format
            if request.reasoning_effort is not None:
                call.reasoning_effort = request.reasoning_effort
        elif isinstance(request, CompletionFields):
            call.endpoint = "complete"
            [call.prompt], tool_results = await self._render(
                "prompt_template", [config.prompt_template or ""], request, config, caller
            )
            call.logprobs, call.suffix = request.logprobs, request.suffix
        return call, tool_results

    async def _render(
        self, field: str, templates: list[str], request: GenerationRequest, config: ModelConfig, caller: str
    ) -> tuple[list[str], list[ToolResultResponse]]:
        limit = self.settings.max_template_chars
        if sum(map(len, templates)) > limit:
            raise InvalidRequest.at("model_config", field, msg=f"the template must have at most {limit} characters")
        try:
            if config.template_language == "jinja":
                return await self.jinja.render(templates, request.inputs, self.settings.max_rendered_chars, caller), []
            tools = await self._tools(templates)
            return fill_with_tools(templates, request.inputs, self.settings.max_rendered_chars, tools)
        except TemplateError as exc:
            raise ApiError(422, str(exc)) from exc
        except Busy as exc:
            raise ApiError(503, str(exc), retry_after=1) from exc

    async def _tools(self, templates: list[str]) -> Snippets:
        """Return the snippet tools of the settings, and of the imported ones those that the templates call."""
        tools = self.settings.tools
        if not (names := called_tools(templates) - tools.keys()):
            return tools
        async with self.database.read() as connection:
            return {**await snippet_tools(connection, names), **tools}


def _tool_choice(request: ChatFields) -> ToolChoiceValue | None:
    """Return `tool_choice`, or `tool_call`, its deprecated form, converted to it."""
    old = request.tool_call
    if old is None:
        return request.tool_choice
    choice: ToolChoiceValue
    if old == "none":
        choice = "none"
    elif old == "auto":
        choice = "auto"
    elif isinstance(old, dict) and old.keys() == {"name"}:
        choice = ToolChoice(function=FunctionToolChoice(name=old["name"]))
    else:
        raise InvalidRequest.at("tool_call", msg='must be "none", "auto" or {"name": ...}')
    if request.tool_choice not in (None, choice):
        raise ApiError(
            422, "`tool_call`, the deprecated form of `tool_choice`, differs from it; send only `tool_choice`"
        )
    return choice
