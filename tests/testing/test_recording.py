"""The file format: what is written is read again, and every damaged file is a clear error."""

from __future__ import annotations

import contextlib
import pickle
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from humanloop_async import ApiException
from humanloop_async.testing import (
    InvalidRecording,
    RecordedCall,
    RecordedRead,
    RecordingNotFound,
    UnsupportedRecording,
    load_recording,
    save_recording,
)
from humanloop_async.testing.recording import HEADER_LINE, encode_call

CALL = RecordedCall(
    at=0.5,
    method="POST",
    url="http://127.0.0.1:8460/v4/chat",
    headers={"Content-Type": "application/json"},
    body=b'{"project":"sky","num_samples":2}',
    responded_at=0.01,
    status=200,
    reason="OK",
    response_headers={"Content-Type": "text/event-stream"},
    reads=[RecordedRead(0.02, "data: ü\n".encode()[:7]), RecordedRead(0.03, "data: ü\n".encode()[7:])],
    ended_at=0.04,
)
NO_RESPONSE = RecordedCall(method="GET", url="http://h/v4/x", ended_at=1.0, cause="unreachable", message="no route")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "call.jsonl"


def test_a_recording_is_read_as_it_was_written(path: Path) -> None:
    save_recording(path, [CALL, NO_RESPONSE])
    assert load_recording(path) == [CALL, NO_RESPONSE]


def test_the_lines_of_a_file(path: Path) -> None:
    """One line per read, so that a difference between two recordings shows which reads changed."""
    save_recording(path, [CALL])
    assert path.read_text().splitlines() == [
        '{"format":"humanloop_async.recording","version":1}',
        '{"type":"call","at":0.5,"method":"POST","url":"http://127.0.0.1:8460/v4/chat",'
        '"headers":{"Content-Type":"application/json"},"json":{"project":"sky","num_samples":2}}',
        '{"type":"response","at":0.01,"status":200,"reason":"OK","headers":{"Content-Type":"text/event-stream"}}',
        '[0.02,{"base64":"ZGF0YTogww=="}]',
        '[0.03,{"base64":"vAo="}]',
        '{"type":"end","at":0.04,"cause":"complete"}',
    ]


@given(st.lists(st.binary(min_size=1)), st.one_of(st.none(), st.binary()))
def test_any_bytes_are_kept(reads: list[bytes], body: bytes | None) -> None:
    timed = [RecordedRead(number / 8, data) for number, data in enumerate(reads)]
    call = RecordedCall(method="POST", url="/", body=body, status=200, reads=timed, ended_at=len(reads))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "read_bytes", lambda _: HEADER_LINE + encode_call(call))
        [read] = load_recording("any.jsonl")
    assert read.reads == timed
    try:
        assert read.body == (None if body is None else msgspec.json.format(body, indent=-1))  # without white space
    except msgspec.DecodeError:
        assert read.body == body


def test_blank_lines_and_windows_line_ends_do_not_matter(path: Path) -> None:
    save_recording(path, [CALL])
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n") + b"\n\n")
    assert load_recording(path) == [CALL]


GOOD = encode_call(CALL).decode().splitlines()

DAMAGED = {
    "empty": ([], 1, "not a recording"),
    "another file": (["{}"], 1, "not a recording"),
    "binary": (["\udcff\udcfe"], 1, "not a recording"),
    "another format": (['{"format":"har","version":1}'], 1, "'har'"),
    "no JSON": ([*GOOD[:2], "<<<<<<< HEAD"], 4, "not a line"),
    "half a line": ([*GOOD[:3], GOOD[3][:9]], 5, "not a line"),
    "unknown field": ([GOOD[0][:-1] + ',"extra":1}'], 2, "extra"),
    "missing field": (['{"type":"call","at":0}'], 2, "method"),
    "unknown cause": ([*GOOD[:2], '{"type":"end","at":1,"cause":"boredom"}'], 4, "boredom"),
    "wrong status": ([GOOD[0], GOOD[1].replace("200", "7")], 3, "status"),
    "negative time": ([*GOOD[:2], '[-1,"x"]'], 4, "0.0"),
    "no number": ([*GOOD[:2], '["soon","x"]'], 4, "float"),
    "infinite time": ([*GOOD[:2], '[1e999,"x"]'], 4, ""),
    "time runs back": ([*GOOD[:3], '[0.015,"x"]'], 5, "0.015"),
    "read without bytes": ([*GOOD[:2], '[0.1,""]'], 4, "without bytes"),
    "bad base64": ([*GOOD[:2], '[0.1,{"base64":"*"}]'], 4, "base64"),
    "half a surrogate pair": ([*GOOD[:2], r'[0.1,"\ud83d"]'], 4, ""),
    "read before the response": ([GOOD[0], '[0.1,"x"]'], 3, "no response"),
    "read without a call": (['[0.1,"x"]'], 2, "no call"),
    "two responses": ([*GOOD[:2], GOOD[1]], 4, "second response"),
    "no end": (GOOD[:3], 4, "no end"),
    "call inside a call": ([*GOOD[:3], GOOD[0]], 5, "no end"),
    "complete without a response": ([GOOD[0], GOOD[4]], 3, "no response"),
    "header injection": ([GOOD[0], GOOD[1].replace("text/", r"\r\nX: ")], 3, "header"),
    "deep": ([GOOD[0].replace('{"project', "[" * 100_000 + '{"project')], 2, ""),
}


@pytest.mark.parametrize(("lines", "number", "problem"), DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_is_an_error_with_the_line(path: Path, lines: list[str], number: int, problem: str) -> None:
    path.parent.mkdir()
    first = [] if number == 1 else [HEADER_LINE.decode().strip()]
    path.write_bytes("\n".join([*first, *lines]).encode(errors="surrogateescape"))
    with pytest.raises(InvalidRecording) as caught:
        load_recording(path)
    error = caught.value
    assert (error.path, error.line) == (path, number)
    assert str(error).startswith(f"{path}: line {number} ")
    assert problem in str(error)
    assert isinstance(error, ApiException)


@given(st.integers(0, 600), st.binary(max_size=3))
def test_a_file_with_changed_bytes_is_read_or_rejected(at: int, change: bytes) -> None:
    content = HEADER_LINE + encode_call(CALL) + encode_call(NO_RESPONSE)
    changed = content[:at] + change + content[at + len(change) :]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "read_bytes", lambda _: changed)
        with contextlib.suppress(InvalidRecording, UnsupportedRecording):
            load_recording("changed.jsonl")


@pytest.mark.parametrize(("version", "advice"), [(2, "upgrade"), (0, "record it again")])
def test_another_version_is_an_error_that_says_what_to_do(path: Path, version: int, advice: str) -> None:
    save_recording(path, [CALL])
    path.write_text(path.read_text().replace('"version":1', f'"version":{version}'))
    with pytest.raises(UnsupportedRecording, match=f"version {version}.*{advice}"):
        load_recording(path)


def test_a_missing_file_and_a_folder_are_errors(path: Path, tmp_path: Path) -> None:
    with pytest.raises(RecordingNotFound, match=r"call\.jsonl; record it first"):
        load_recording(path)
    with pytest.raises(RecordingNotFound, match="Is a directory"):
        load_recording(tmp_path)


def test_errors_can_be_pickled(path: Path) -> None:
    error = pickle.loads(pickle.dumps(InvalidRecording("bad", path, 3)))
    assert (str(error), error.path, error.line) == ("bad", path, 3)
