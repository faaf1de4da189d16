"""The files of docs/deployment.md: the proxies stream and close, the unit and the image start a server that exists."""

from __future__ import annotations

import os
import re
import shlex
import ssl
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest
import trustme

from humanloop_async import EmbeddedServer
from humanloop_async.server import ServerSettings
from humanloop_async.server.providers.settings import ProviderSettings
from tests.docs.programs import ended_log, free_port, listening, program

pytestmark = pytest.mark.timeout(240)  # starting a server takes most of it
ROOT = Path(__file__).parents[2]
FILES = ROOT / "docs" / "examples" / "deploy"
CALL = {
    "project": "proxied",
    "model_config": {"provider": "mock", "model": "any"},
    "messages": [{"role": "user", "content": "Hello"}],
    "stream": True,
}


@pytest.fixture(scope="module")
def settings() -> ServerSettings:
    # 20 to 60 tokens take 0.7 to 2 seconds.
    return ServerSettings(providers=ProviderSettings(mock_tokens_per_second=30))


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path, ssl.SSLContext]:
    """A server's certificate chain, its key, and a context that trusts them."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    chain, key = tmp_path / "humanloop.crt", tmp_path / "humanloop.key"
    chain.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    key.write_bytes(issued.private_key_pem.bytes())
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return chain, key, context


def replaced(text: str, replacements: dict[str, str]) -> str:
    """Replace what differs on this machine; each text must be there."""
    for old, new in replacements.items():
        assert old in text
        text = text.replace(old, new)
    return text


@contextmanager
def running_proxy(
    kind: str, upstreams: list[str], certificate: tuple[Path, Path, ssl.SSLContext], tmp_path: Path
) -> Iterator[str]:
    """Run a proxy before some servers, configured as the page says, and provide its address."""
    chain, key, _ = certificate
    binary, port = program(kind), free_port()
    if kind == "nginx":
        snippet = replaced(
            (FILES / "nginx.conf").read_text(),
            {
                "server 127.0.0.1:8460 max_fails=0;": "\n".join(
                    f"server {upstream} max_fails=0;" for upstream in upstreams
                ),
                "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
                "/etc/ssl/humanloop.crt": str(chain),
                "/etc/ssl/humanloop.key": str(key),
            },
        )
        paths = "".join(
            f"{kind}_temp_path {tmp_path}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        user = "user root;" if os.geteuid() == 0 else ""
        config = tmp_path / "nginx.conf"
        config.write_text(
            f"{user} daemon off; pid {tmp_path}/pid; error_log stderr warn;\n"
            f"events {{}}\nhttp {{ access_log off; {paths}\n{snippet}\n}}\n"
        )
        check = [binary, "-t", "-q", "-e", "stderr", "-p", str(tmp_path), "-c", str(config)]
        command = [binary, "-e", "stderr", "-p", str(tmp_path), "-c", str(config)]
    else:
        both = tmp_path / "humanloop.pem"
        both.write_bytes(chain.read_bytes() + key.read_bytes())
        config = tmp_path / "haproxy.cfg"
        config.write_text(
            replaced(
                (FILES / "haproxy.cfg").read_text(),
                {
                    "    server one 127.0.0.1:8460 check": "\n".join(
                        f"    server s{number} {upstream} check" for number, upstream in enumerate(upstreams)
                    ),
                    "bind :443": f"bind 127.0.0.1:{port}",
                    "/etc/haproxy/humanloop.pem": str(both),
                },
            )
        )
        check, command = [binary, "-c", "-q", "-f", str(config)], [binary, "-db", "-f", str(config)]
    done = subprocess.run(check, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, ""), "the configuration has an error or a warning"
    with listening(command, port):
        yield f"https://127.0.0.1:{port}"


@pytest.fixture(params=["nginx", "haproxy"])
def proxy(
    request: pytest.FixtureRequest,
    server: EmbeddedServer,
    certificate: tuple[Path, Path, ssl.SSLContext],
    tmp_path: Path,
) -> Iterator[str]:
    """The address of a proxy before the embedded server."""
    upstream = server.base_url.removeprefix("http://").removesuffix("/v4")
    with running_proxy(request.param, [upstream], certificate, tmp_path) as address:
        yield address


def test_a_proxy_passes_tokens_on_at_once_and_closes_when_its_client_leaves(
    proxy: str, server: EmbeddedServer, certificate: tuple[Path, Path, ssl.SSLContext]
) -> None:
    headers = {"X-API-KEY": server.api_key}
    with httpx.Client(base_url=proxy, verify=certificate[2], headers=headers, timeout=60) as browser:
        with browser.stream("POST", "/v4/chat", json=CALL) as response:
            assert response.status_code == 200
            reads = list(response.iter_bytes())
        assert len(reads) > 5
        assert b"".join(reads).count(b'"finish_reason":"stop"') == 1

        project = f"left behind {proxy}"
        with browser.stream("POST", "/v4/chat", json={**CALL, "project": project}) as response:
            next(response.iter_bytes())
    assert ended_log(server, project).error == "the client disconnected before the generation finished"


@pytest.mark.parametrize("kind", ["nginx", "haproxy"])
def test_rolling_restarts_lose_no_call(
    kind: str, certificate: tuple[Path, Path, ssl.SSLContext], tmp_path: Path
) -> None:
    ports = [free_port(), free_port()]
    servers = [_server(port, tmp_path) for port in ports]
    stop = threading.Event()
    upstreams = [f"127.0.0.1:{port}" for port in ports]
    with running_proxy(kind, upstreams, certificate, tmp_path) as proxy, ThreadPoolExecutor(6) as threads:
        try:
            users = [threads.submit(_use, proxy, certificate[2], stop, is_stream) for is_stream in [True, False] * 3]
            for index, port in enumerate(ports):
                servers[index].terminate()
                assert servers[index].wait(60) == 0
                time.sleep(1)  # the other one serves all calls
                servers[index] = _server(port, tmp_path)
                time.sleep(2)  # until the proxy has noticed
        finally:
            stop.set()
            for process in servers:
                process.terminate()
                process.wait(60)
        calls = [user.result() for user in users]
    assert min(calls) > 10, calls


def _server(port: int, folder: Path) -> subprocess.Popen[bytes]:
    """Start a server that shares its database with others, and wait until it is ready."""
    options = ["--db", str(folder / "shared.db"), "--port", str(port), "--drain-delay", "3", "--mock-pace", "40"]
    process = subprocess.Popen(
        [sys.executable, "-m", "humanloop_async", "serve", *options],
        env=os.environ | {"HUMANLOOP_API_KEY": "a-key-for-this-test"},
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while True:
        with suppress(httpx.TransportError):
            if httpx.get(f"http://127.0.0.1:{port}/ready").status_code == 200:
                return process
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _use(proxy: str, context: ssl.SSLContext, stop: threading.Event, is_stream: bool) -> int:
    """Send calls without a retry until `stop` is set; return their number."""
    calls = 0
    headers = {"X-API-KEY": "a-key-for-this-test"}
    with httpx.Client(base_url=proxy, verify=context, headers=headers, timeout=60) as client:
        while not stop.is_set():
            if is_stream:
                with client.stream("POST", "/v4/chat", json=CALL) as response:
                    text = "".join(response.iter_text())
                assert response.status_code == 200, text
                assert text.count('"finish_reason":"stop"') == 1, text
            else:
                response = client.post("/v4/logs", json={"project": "proxied", "config": {"model": "m"}, "output": "x"})
                assert response.status_code == 200, response.text
            calls += 1
    return calls


def start(arguments: list[str], tmp_path: Path) -> None:
    """Start `humanloop-async` as a unit or an image does, but on a free port and in a temporary folder."""
    assert arguments[:1] == ["serve"]
    port = free_port()
    arguments = [re.sub(r"^/(var/lib/humanloop|data)(?=/)", str(tmp_path), argument) for argument in arguments]
    command = [sys.executable, "-m", "humanloop_async", *arguments, "--port", str(port)]
    environment = os.environ | {"HUMANLOOP_API_KEY": "a-key-for-this-test"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            while "address" not in (line := process.stdout.readline()):
                assert line or process.poll() is None, "the server did not start"
            assert httpx.get(f"http://127.0.0.1:{port}/ready").status_code == 200
        finally:
            process.terminate()
            process.stdout.read()
    assert process.returncode == 0
    assert (tmp_path / "humanloop.db").exists()


def test_the_unit_is_valid_and_starts_a_server(tmp_path: Path) -> None:
    text = (FILES / "humanloop.service").read_text()
    (line,) = re.findall(r"^ExecStart=(\S+) (.*)$", text, re.MULTILINE)
    unit = tmp_path / "humanloop.service"
    unit.write_text(text.replace(line[0], sys.executable))
    done = subprocess.run([program("systemd-analyze"), "verify", str(unit)], capture_output=True, text=True)
    assert (done.returncode, [line for line in done.stderr.splitlines() if "humanloop" in line]) == (0, [])
    start(shlex.split(line[1]), tmp_path)


def test_the_image_installs_what_exists_and_starts_a_server(tmp_path: Path) -> None:
    """Docker itself is not needed: the files it copies, the extras it installs and the command it runs are checked."""
    text = (FILES / "Dockerfile").read_text().replace("\\\n", "")
    for sources in re.findall(r"^COPY (.+) \S+$", text, re.MULTILINE):
        for source in sources.split():
            assert (ROOT / source).exists()
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (wanted,) = re.findall(r"/src\[([\w,]+)\]", text)
    assert set(wanted.split(",")) <= set(extras)
    commands = dict(re.findall(r"^(ENTRYPOINT|CMD) (\[.*\])$", text, re.MULTILINE))
    assert commands["ENTRYPOINT"] == '["humanloop-async"]'
    (arguments,) = re.findall(r'^CMD \["(.*)"\]$', text, re.MULTILINE)
    start(arguments.split('", "'), tmp_path)
