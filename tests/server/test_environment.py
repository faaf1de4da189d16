"""Environment variables of a server: secrets in files, and unknown names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import humanloop_async
from humanloop_async.server import ServerSettings
from humanloop_async.server.environment import unknown_variables
from humanloop_async.server.providers.registry import Providers


def test_secrets_can_be_in_files(tmp_path: Path) -> None:
    environ = {}
    for name in ("HUMANLOOP_API_KEY", "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "HUMANLOOP_PROVIDER_MINE_API_KEY"):
        path = tmp_path / name
        path.write_text(f" secret of {name}\n")
        environ[f"{name}_FILE"] = str(path)
    environ["HUMANLOOP_PROVIDER_MINE_BASE_URL"] = "https://models.example/v1"
    settings = ServerSettings.from_environ(environ)
    assert settings.api_key == "secret of HUMANLOOP_API_KEY"
    assert settings.providers.openai_api_key == "secret of OPENAI_API_KEY"
    assert settings.providers.keys["anthropic"] == "secret of ANTHROPIC_API_KEY"
    assert settings.providers.compatible["mine"].api_key == "secret of HUMANLOOP_PROVIDER_MINE_API_KEY"


def test_urls_and_headers_with_secrets_can_be_in_files(tmp_path: Path) -> None:
    contents = {
        "HUMANLOOP_PROVIDER_MINE_BASE_URL": "https://models.example/v1",
        "HUMANLOOP_PROVIDER_MINE_HEADERS": '{"Authorization": "Basic x"}',
        "HUMANLOOP_PROVIDER_MINE_QUERY": "key=secret",
        "OPENAI_BASE_URL": "https://gateway.example/v1",
        "ANTHROPIC_BASE_URL": "https://a.example",
        "COHERE_BASE_URL": "https://c.example",
        "HTTP_PROXY": "http://u:p@proxy.example:3128",
        "HTTPS_PROXY": "http://u:p@proxy.example:3129",
    }
    environ = {}
    for name, content in contents.items():
        path = tmp_path / name
        path.write_text(content)
        environ[f"{name}_FILE"] = str(path)
    assert ServerSettings.from_environ(environ) == ServerSettings.from_environ(contents)
    assert unknown_variables({**environ, "HUMANLOOP_DB_FILE": "x"}) == []


@pytest.mark.parametrize(
    ("content", "also", "message"),
    [
        (None, "", "OPENAI_API_KEY_FILE: cannot read .* No such file"),
        (b"\n", "", "OPENAI_API_KEY_FILE: the file .* is empty"),
        (b"\xff", "", "OPENAI_API_KEY_FILE: cannot read .* not UTF-8"),
        (b"x", "y", "OPENAI_API_KEY and OPENAI_API_KEY_FILE are both set"),
    ],
)
def test_an_unusable_file_is_named(tmp_path: Path, content: bytes | None, also: str, message: str) -> None:
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        ServerSettings.from_environ({"OPENAI_API_KEY_FILE": str(path), "OPENAI_API_KEY": also})


def test_unknown_variables_are_reported() -> None:
    assert unknown_variables(
        {"HUMANLOOP_PROT": "1", "HUMANLOOP_SOMETHING": "", "PATH": "/bin", "HUMANLOOP_PORT": "1"}
    ) == [
        "the variable HUMANLOOP_PROT has no meaning; did you mean HUMANLOOP_PORT?",
        "the variable HUMANLOOP_SOMETHING has no meaning",
    ]


def test_every_variable_of_the_package_is_known() -> None:
    package = Path(humanloop_async.__file__).parent
    text = "".join(path.read_text(encoding="utf-8") for path in package.rglob("*.py"))
    names = {name for name in re.findall(r"\bHUMANLOOP_[A-Z_]+[A-Z]\b(?![<_])", text) if name != "HUMANLOOP_PROVIDER"}
    assert len(names) > 12
    assert unknown_variables(dict.fromkeys(names, "x")) == []


async def test_the_timeouts_of_providers_can_be_set() -> None:
    environ = {"HUMANLOOP_PROVIDER_RESPONSE_TIMEOUT": "7.5", "HUMANLOOP_PROVIDER_IDLE_TIMEOUT": "3"}
    providers = Providers(ServerSettings.from_environ(environ).providers)
    provider: object = providers.get("openai")
    assert (getattr(provider, "response_timeout", 0), getattr(provider, "idle_timeout", 0)) == (7.5, 3)
    await providers.aclose()
    for value in ("0", "x", "inf"):
        with pytest.raises(ValueError, match="HUMANLOOP_PROVIDER_IDLE_TIMEOUT must be a number of seconds above 0"):
            ServerSettings.from_environ({"HUMANLOOP_PROVIDER_IDLE_TIMEOUT": value})
