"""The sync client mirrors the async one: names, arguments, views."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from humanloop_async import AsyncHumanloop, Humanloop, SyncChatStream, SyncCompletionStream, SyncSampleStream
from humanloop_async.client import resources as async_resources
from humanloop_async.client.stream import ChatStream, CompletionStream, SampleStream
from humanloop_async.sync import resources as sync_resources

RESOURCES = ["Completions", "Chats", "Projects", "ModelConfigs", "Experiments", "Sessions", "Logs", "FeedbackApi"]
RESOURCES += ["Datasets", "Datapoints", "Finetunes"]


def public(cls: type) -> set[str]:
    """Return the public names, the async ones under their sync names."""
    return {name.removeprefix("a") if name == "aclose" else name for name in dir(cls) if not name.startswith("_")}


PAIRS: list[tuple[type, type]] = [
    (AsyncHumanloop, Humanloop),
    (CompletionStream, SyncCompletionStream),
    (ChatStream, SyncChatStream),
    (SampleStream, SyncSampleStream),
    *((getattr(async_resources, name), getattr(sync_resources, name)) for name in RESOURCES),
]


@pytest.mark.parametrize(("ours", "mirror"), PAIRS, ids=lambda cls: cls.__name__)
def test_the_same_names(ours: type, mirror: type) -> None:
    assert public(ours) == public(mirror)


@pytest.mark.parametrize(("ours", "mirror"), PAIRS, ids=lambda cls: cls.__name__)
def test_the_same_arguments(ours: type, mirror: type) -> None:
    for name in public(ours) - {"close"}:
        mine, other = inspect.getattr_static(ours, name), inspect.getattr_static(mirror, name)
        assert isinstance(mine, property) == isinstance(other, property)
        if inspect.isfunction(mine):
            assert parameters(mine) == parameters(other), name
            assert bool(mine.__doc__) == bool(other.__doc__), name


def parameters(function: Any) -> list[tuple[str, Any, Any, Any]]:
    return [(p.name, p.kind, p.default, p.annotation) for p in inspect.signature(function).parameters.values()]


def test_the_same_settings() -> None:
    assert parameters(AsyncHumanloop.__init__) == parameters(Humanloop.__init__)


def test_the_same_names_on_the_clients_themselves() -> None:
    ours, mirror = AsyncHumanloop(), Humanloop()
    assert {name for name in vars(ours) if not name.startswith("_")} == {
        name for name in vars(mirror) if not name.startswith("_")
    }
    mirror.close()


@pytest.mark.parametrize("resource", RESOURCES)
def test_the_same_docstrings(resource: str) -> None:
    """They differ only in how a stream or a paged list is used."""

    def sections(function: Any) -> tuple[str, str]:
        summary, _, rest = (inspect.getdoc(function) or "").partition("\n")
        return summary, rest[rest.index("Args:") :].replace("`Sync", "`")

    ours, mirror = getattr(async_resources, resource), getattr(sync_resources, resource)
    for name in public(ours):
        assert sections(getattr(ours, name)) == sections(getattr(mirror, name))
