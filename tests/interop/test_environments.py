"""Setting up the official clients fails visibly, so that CI cannot pass without them."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.interop import environments


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(environments, "FOLDER", tmp_path)
    return tmp_path


def test_without_node_the_exit_status_is_1(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(shutil, "which", lambda program: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert environments.main(["node-0.5.36"]) == 1
    assert "cannot set up node-0.5.36: found no Node on the PATH" in capsys.readouterr().err


def test_a_failed_installation_does_not_stop_the_next_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit status is 1, and the output names the client that failed."""
    installed: list[str] = []

    def run(command: list[str], *, check: bool) -> subprocess.CompletedProcess[bytes]:
        installed.append(command[-1])
        return subprocess.CompletedProcess(command, int(command[-1] == "humanloop==0.5.18"))

    monkeypatch.setattr(subprocess, "run", run)
    for client in ("python-0.5.18", "python-0.7.35"):  # so that no virtual environment is created
        python = folder / client / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.touch()
    assert environments.main(["python-0.5.18", "python-0.7.35"]) == 1
    assert installed == ["humanloop==0.5.18", "humanloop==0.7.35"]
    assert "the installation of humanloop==0.5.18 ended with status 1" in capsys.readouterr().err
    assert environments.main(["python-0.7.35"]) == 0


def test_a_client_that_is_not_installed_cannot_run() -> None:
    with pytest.raises(environments.MissingEnvironment, match=r"environments\.py python-0\.7\.35"):
        environments.command("python-0.7.35")
