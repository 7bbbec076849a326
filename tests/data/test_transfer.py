"""Downloads over connections that break are resumed or started over."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ganzoo.data import downloading, partial, transfer
from ganzoo.data.downloading import download
from ganzoo.data.transfer import RetryPolicy, TransferError
from tests.data.download_helpers import (
    FOLDERS,
    RETRY_POLICY,
    SHORT_TIMEOUT,
    download_error,
    fetch,
    file_names,
    interrupt,
    make_archive,
    partial_content,
)
from tests.data.file_server import FileServer, Response, serve
from tests.data.pictures import encoded, noise, write_zip


@pytest.mark.parametrize("fault", [Response(cut=20_000), Response(stall=20_000)], ids=["cut", "stalled"])
def test_a_broken_connection_is_resumed(server, path, fault):
    server.responses = [fault, Response(cut=5_000)]
    lines = fetch(server, path, policy=RETRY_POLICY if fault.stall is None else SHORT_TIMEOUT)
    assert path.read_bytes() == server.file
    assert server.ranges == [None, "bytes=20000-", "bytes=25000-"]
    assert lines[1].endswith("retrying in 0 s")
    assert lines[2] == "resuming at 20 kB of 60 kB"


def test_progress_resets_the_number_of_retries(server, path):
    server.default = Response(cut=6_000)
    fetch(server, path)
    assert path.read_bytes() == server.file
    assert len(server.ranges) == 11  # although RETRY_POLICY has only two delays


def test_the_next_call_resumes_a_partial_download(server, path):
    message = interrupt(server, path)
    assert message.startswith(
        f"{server.url}: the connection broke at 20 kB of 60 kB. 20 kB of 60 kB are kept: run the same"
    )
    assert message.endswith(f"with --url, or download the file yourself and save it as {path}.")
    assert partial_content(path) == server.file[:20_000]
    fetch(server, path)
    assert server.ranges == ["bytes=20000-"]
    assert path.read_bytes() == server.file
    assert file_names(path) == ["set.zip"]


def test_a_partial_download_with_all_bytes_is_checked_without_a_request(server, path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(downloading, "_verify_archive", lambda path: (_ for _ in ()).throw(KeyboardInterrupt))
        lines: list[str] = []
        with pytest.raises(KeyboardInterrupt):
            download(server.url, path, FOLDERS, policy=RETRY_POLICY, say=lines.append)
    assert lines[-1] == "60 kB of 60 kB are kept: run the same command to resume."
    fetch(server, path)
    assert path.read_bytes() == server.file
    assert server.ranges == [None]


def test_a_file_shorter_than_declared_is_an_error(server, path):
    server.default = Response(extra=1000)
    assert f"the connection broke at {len(server.file) // 1000} kB of 61 kB" in download_error(server, path)


def test_a_file_longer_than_declared_is_a_damaged_archive(server, path):
    server.default = Response(extra=-1000)
    message = download_error(server, path)
    assert (
        "the downloaded file (59 kB) is not an intact zip archive (File is not a zip file) and was deleted." in message
    )
    assert file_names(path) == []


@pytest.mark.parametrize(
    ("status", "reason", "requests"),
    [
        (404, "the server has no such file (status 404)", 1),
        (410, "the server has no such file (status 410)", 1),
        (403, "access is denied (status 403)", 1),
        (400, "the server responded with status 400 (Bad Request)", 1),
        (204, "the server responded with status 204 (No Content)", 1),
        (206, "the server responded with status 206 (Partial Content)", 1),
        (503, "the server responded with status 503 (Service Unavailable)", 3),
    ],
)
def test_other_statuses_are_errors(server, path, status, reason, requests):
    server.default = Response(status=status)
    assert download_error(server, path).startswith(
        f"{server.url}: {reason}. Give another address with --url, or download"
    )
    assert len(server.ranges) == requests
    assert file_names(path) == []


def test_a_busy_server_is_retried(server, path):
    server.responses = [Response(status=503), Response(status=429)]
    fetch(server, path)
    assert path.read_bytes() == server.file


def test_a_server_without_ranges_starts_over(server, path):
    server.responses = [Response(cut=20_000)]
    server.default = Response(ranges=False)
    assert "the server can't resume downloads; starting over" in fetch(server, path)
    assert path.read_bytes() == server.file


@pytest.mark.parametrize(
    "fault",
    [
        Response(),
        Response(if_range=False),
        Response(if_range=False, etag=False),
        Response(if_range=False, modified=False),
        Response(ranges=False),
        Response(if_range=False, etag=False, modified=False),
    ],
    ids=["If-Range", "ETag", "Last-Modified only", "ETag only", "no ranges", "no validators"],
)
@pytest.mark.parametrize("shorter", [False, True])
def test_a_file_that_changes_between_attempts_is_downloaded_again(server, path, tmp_path, fault, shorter):
    new = make_archive(tmp_path, seed=1)
    if shorter:
        new = write_zip(
            tmp_path / "made.zip", {f"{name}/1.bmp": encoded(noise(9, 9), "bmp") for name in FOLDERS}
        ).read_bytes()
    else:
        assert len(new) == len(server.file)
        assert new != server.file
    fault.change = new
    server.responses = [Response(cut=20_000), fault]
    assert transfer.FILE_CHANGED in fetch(server, path)
    assert path.read_bytes() == new


def test_if_range_saves_a_request_for_a_changed_file(server, path, tmp_path):
    server.responses = [Response(cut=20_000), Response(change=make_archive(tmp_path, seed=1))]
    fetch(server, path)
    assert server.ranges == [None, "bytes=20000-"]
    assert path.read_bytes() == server.file


def test_another_length_means_another_file_whatever_its_validators(server, path):
    interrupt(server, path)
    server.file = server.file[:30_000] + bytes(20_000) + server.file[30_000:]  # with the old validators
    message = download_error(server, path)
    assert server.ranges == ["bytes=20000-", None]
    assert "(80 kB) is not an intact zip archive" in message


def test_a_partial_download_longer_than_the_file_is_not_resumed(server, path):
    interrupt(server, path)
    with path.with_name("set.zip.part").open("ab") as file:
        file.write(bytes(50_000))
    fetch(server, path)
    assert server.ranges == [None]
    assert path.read_bytes() == server.file


def test_nothing_is_resumed_without_validators(server, path):
    server.responses = [Response(cut=20_000, etag=False, modified=False)]
    fetch(server, path)
    assert server.ranges == [None, None]
    assert path.read_bytes() == server.file


def test_a_range_that_begins_elsewhere_is_ignored(server, path):
    server.responses = [Response(cut=20_000), Response(shift=7)]
    fetch(server, path)
    assert server.ranges == [None, "bytes=20000-", None]
    assert path.read_bytes() == server.file


def test_a_weak_etag_does_not_guarantee_the_same_bytes(server, path, monkeypatch):
    monkeypatch.setattr(FileServer, "etag", 'W/"1"')
    server.responses = [Response(cut=20_000, modified=False)]
    fetch(server, path)
    assert server.ranges == [None, None]


def test_a_partial_download_from_another_address_is_not_resumed(server, path):
    interrupt(server, path)
    server.responses = [Response(status=404)]
    assert "are kept" not in download_error(server, path, server.url + "&copy")
    assert partial_content(path) == server.file[:20_000]
    server.ranges.clear()
    fetch(server, path, server.url + "&copy")
    assert server.ranges == [None]


@pytest.mark.parametrize("metadata", ["", "[]", "{}", '{"url": 1, "length": "x", "etag": "y"}'])
def test_a_partial_download_with_damaged_metadata_is_not_resumed(server, path, metadata):
    interrupt(server, path)
    path.with_name("set.zip.part.json").write_text(metadata)
    fetch(server, path)
    assert server.ranges == [None]
    assert path.read_bytes() == server.file


def test_a_file_of_unknown_length_is_accepted_if_the_archive_is_intact(server, path):
    server.default = Response(length=False)
    assert fetch(server, path) == ["downloading a file of unknown length"]
    assert path.read_bytes() == server.file
    path.unlink()
    server.default = Response(length=False, cut=20_000)
    assert "is not an intact zip archive" in download_error(server, path)


FAULTS = st.builds(
    Response,
    cut=st.none() | st.integers(0, 300),
    ranges=st.booleans(),
    if_range=st.booleans(),
    etag=st.booleans(),
    modified=st.booleans(),
    length=st.booleans(),
    shift=st.integers(0, 3),
    extra=st.sampled_from([0, 0, 0, 5, -5]),
    change=st.sampled_from([b"", b"", b"PK" + b"b" * 298, b"PK" + b"c" * 298, b"PK" + b"d" * 150]),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(FAULTS, max_size=8))
def test_two_versions_of_a_file_are_never_mixed(tmp_path_factory, faults):
    path = tmp_path_factory.mktemp("data") / "set.zip"
    with serve(b"PK" + b"a" * 298) as server:
        server.responses = list(faults)
        for _ in range(len(faults) + 1):
            with partial.open_partial(path) as unfinished:
                with suppress(TransferError):
                    transfer.transfer(server.url, unfinished, RetryPolicy(20.0, (0.0,)), lambda line: None)
                content = unfinished.path.read_bytes()
                assert len(set(content[2:])) <= 1, content
