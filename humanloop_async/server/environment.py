"""Environment variables of a server: secrets in files, and names that are not known."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path

from .providers.settings import KEY_VARIABLES

_KNOWN = {
    "HUMANLOOP_API_KEY",
    "HUMANLOOP_BASE_URL",
    "HUMANLOOP_DB",
    "HUMANLOOP_DIRECT_WAKEUP",
    "HUMANLOOP_HOST",
    "HUMANLOOP_LOCAL_GGUF",
    "HUMANLOOP_LOG",
    "HUMANLOOP_MOCK_SCRIPT",
    "HUMANLOOP_MOCK_TOKENS_PER_SECOND",
    "HUMANLOOP_PORT",
    "HUMANLOOP_PROVIDER_CALLER_HOSTS",
    "HUMANLOOP_PROVIDER_IDLE_TIMEOUT",
    "HUMANLOOP_PROVIDER_MAX_RETRIES",
    "HUMANLOOP_PROVIDER_RESPONSE_TIMEOUT",
    "HUMANLOOP_PROVIDER_TRUSTED_HOSTS",
}
_KNOWN_PATTERN = re.compile(
    r"HUMANLOOP_PROVIDER_[A-Z0-9_]+_(BASE_URL|API_KEY|COMPLETIONS|MAX_N|PATH_PREFIX|QUERY|HEADERS)|HUMANLOOP_TESTS_.*"
)
_SECRETS = {
    "HUMANLOOP_API_KEY",
    *(name for names in KEY_VARIABLES.values() for name in names),
    # URLs may contain passwords.
    *("HUMANLOOP_DB", "OPENAI_BASE_URL", "ANTHROPIC_BASE_URL", "COHERE_BASE_URL", "HTTP_PROXY", "HTTPS_PROXY"),
}
_SECRET_PATTERN = re.compile(r"HUMANLOOP_PROVIDER_[A-Z0-9_]+_(API_KEY|BASE_URL|QUERY|HEADERS)")
_MAX_SECRET = 64 * 1024


def with_secret_files(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables, with each ``<SECRET>_FILE`` replaced by ``<SECRET>``, the content of that file.

    Raises:
        ValueError: A file cannot be read, or the secret is set twice; the message names the variable.
    """
    variables = dict(environ)
    for variable in environ:
        name = variable.removesuffix("_FILE")
        if name != variable and _is_secret(name) and (secret := secret_from_file(environ, name)) is not None:
            variables[name] = secret
            del variables[variable]
    return variables


def secret_from_file(environ: Mapping[str, str], name: str) -> str | None:
    """Return the content of the file that ``<name>_FILE`` names; None without that variable.

    Raises:
        ValueError: The file cannot be read, or the secret is set twice; the message names the variable.
    """
    variable = f"{name}_FILE"
    if not (path := environ.get(variable)):
        return None
    if environ.get(name):
        raise ValueError(f"{name} and {variable} are both set; remove one of them")
    try:
        with Path(path).open(encoding="utf-8") as file:
            secret = file.read(_MAX_SECRET).strip()
    except (OSError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is not UTF-8 text"
        raise ValueError(f"{variable}: cannot read {path!r}: {reason}") from exc
    if not secret:
        raise ValueError(f"{variable}: the file {path!r} is empty")
    return secret


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """Return a sentence about each variable that begins with ``HUMANLOOP_`` and has no meaning."""
    sentences: list[str] = []
    for name in sorted(environ):
        if not name.startswith("HUMANLOOP_") or _is_known(name):
            continue
        similar = difflib.get_close_matches(name, _KNOWN, 1, 0.8)
        hint = f"; did you mean {similar[0]}?" if similar else ""
        sentences.append(f"the variable {name} has no meaning{hint}")
    return sentences


def _is_secret(name: str) -> bool:
    return name in _SECRETS or _SECRET_PATTERN.fullmatch(name) is not None


def _is_known(name: str) -> bool:
    if name in _KNOWN or _KNOWN_PATTERN.fullmatch(name) is not None:
        return True
    return name.endswith("_FILE") and _is_secret(name.removesuffix("_FILE"))
