"""From a decoded request to a `Generation`: checks, configuration, template, the provider's call, context."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from ...types import (
    ChatFields,
    CompletionFields,
    FunctionToolChoice,
    GenerationRequest,
    ProviderApiKeys,
    ToolChoice,
    ToolChoiceValue,
)
from ..errors import ApiError, InvalidRequest
from ..providers.base import ProviderCall, ProviderError
from ..providers.registry import Providers
from ..records.references import check_references, resolve_references
from ..settings import ServerSettings
from ..storage.database import Database
from ..storage.model_config import ModelConfig
from ..templates.jinja import JinjaRenderer
from ..templates.template import TemplateError, chat_texts, fill, with_chat_texts
from .config_resolver import ConfigResolver
from .generation import Generation


class GenerationBuilder(Struct):
    """Prepares calls with the parts of one server.

    Nothing is made in the database before everything that can be refused without it has been checked.
    """

    settings: ServerSettings
    database: Database
    selector: ConfigResolver
    providers: Providers
    jinja: JinjaRenderer

    async def prepare(self, request: GenerationRequest) -> Generation:
        """Everything up to the provider.

        Raises:
            ApiError: The call cannot be made (404, 422); its message says why.
        """
        self._check(request)
        selection = await self.selector.select(request)
        config = selection.config
        self._check_config(request, config)
        call = await self._call(request, config)
        try:
            provider = self.providers.get(config.provider)
            body = provider.request_body(call)
        except ProviderError as exc:
            raise ApiError.from_provider(exc) from exc
        context = await resolve_references(self.database, request, selection.source, selection.project_id)
        context = replace(context, environment=selection.environment, trial=selection.trial)
        return Generation(request, provider, call, body, context)

    def _check(self, request: GenerationRequest) -> None:
        if request.num_samples > self.settings.max_num_samples:
            raise InvalidRequest.at("num_samples", msg=f"this server makes at most {self.settings.max_num_samples}")
        check_references(request)

    def _check_config(self, request: GenerationRequest, config: ModelConfig) -> None:
        expected = "chat" if isinstance(request, ChatFields) else "complete"
        if config.endpoint == "edit":
            raise ApiError(422, 'the endpoint "edit" is not served; use "complete" or "chat"')
        if config.endpoint != expected:
            raise ApiError(422, f"the model config's endpoint is {config.endpoint!r}, and this route's is {expected!r}")
        if expected == "complete" and config.prompt_template is None:
            raise InvalidRequest.at("model_config", "prompt_template", msg="field required", kind="value_error.missing")
        for tool in config.tools or ():
            if tool.name is None or (tool.source == "organization" and tool.parameters is None):
                raise ApiError(
                    422,
                    f"the tool {tool.id or tool.name!r:.80} is only named; this server keeps no tools, so "
                    "give its name, description and parameters",
                )

    async def _call(self, request: GenerationRequest, config: ModelConfig) -> ProviderCall:
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
            other=config.other,
            keys=request.provider_api_keys or ProviderApiKeys(),
        )
        if isinstance(request, ChatFields):
            template = config.chat_template or []
            texts = await self._render("chat_template", chat_texts(template), request, config)
            call.messages = with_chat_texts(template, texts) + request.messages
            call.tool_choice = _tool_choice(request)
            call.response_format = request.response_format or config.response_format
            if request.reasoning_effort is not None:
                call.reasoning_effort = request.reasoning_effort
        elif isinstance(request, CompletionFields):
            call.endpoint = "complete"
            [call.prompt] = await self._render("prompt_template", [config.prompt_template or ""], request, config)
            call.logprobs, call.suffix = request.logprobs, request.suffix
        return call

    async def _render(
        self, field: str, templates: list[str], request: GenerationRequest, config: ModelConfig
    ) -> list[str]:
        limit = self.settings.max_template_chars
        if sum(map(len, templates)) > limit:
            raise InvalidRequest.at("model_config", field, msg=f"the template has more than {limit} characters")
        try:
            if config.template_language == "jinja":
                return await self.jinja.render(templates, request.inputs, self.settings.max_rendered_chars)
            return fill(templates, request.inputs, self.settings.max_rendered_chars)
        except TemplateError as exc:
            raise ApiError(422, str(exc)) from exc


def _tool_choice(request: ChatFields) -> ToolChoiceValue | None:
    """`tool_choice`, or `tool_call`, its old form."""
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
        raise ApiError(422, "`tool_call` is the old form of `tool_choice`, and the two differ; give one")
    return choice
