"""Downloads: redirects, unreachable hosts, disk space, locking, and the check of the archive."""

from __future__ import annotations

import fcntl
import resource
import socket
import zipfile
from collections import namedtuple

import pytest

from ganzoo.data import partial, transfer
from ganzoo.data.downloading import download
from ganzoo.errors import DataError, OptionError
from tests.data.download_helpers import (
    RETRY_POLICY,
    download_error,
    fetch,
    file_names,
    interrupt,
    make_archive,
    partial_content,
)
from tests.data.file_server import Response
from tests.data.pictures import write_zip


def test_a_file_is_downloaded(server, path):
    assert fetch(server, path) == ["downloading 60 kB"]
    assert path.read_bytes() == server.file
    assert file_names(path) == ["set.zip"]
    assert server.ranges == [None]


@pytest.mark.parametrize(
    "page", [b"<!DOCTYPE html><p>This link is dead.", b"PK? No."], ids=["HTML", "text that begins like a zip"]
)
def test_a_web_page_is_refused(server, path, page):
    server.default = Response(page=page)
    message = download_error(server, path)
    assert ("sent a web page; the link may be dead" if page[:1] == b"<" else "is not an intact zip archive") in message
    assert file_names(path) == []


def test_a_dead_link_keeps_the_partial_download(server, path):
    server.responses = [Response(cut=20_000), Response(page=b"<p>Sorry."), Response(status=404)]
    message = download_error(server, path)
    assert "a web page" in message
    assert "20 kB of 60 kB are kept" in message
    assert "20 kB of 60 kB are kept" in download_error(server, path)  # 404
    assert partial_content(path) == server.file[:20_000]
    fetch(server, path)
    assert server.ranges[-1] == "bytes=20000-"


def test_redirects_are_followed(server, path):
    server.responses = [
        Response(status=302, location="/elsewhere"),
        Response(cut=20_000),
        Response(status=307, location="/elsewhere"),
    ]
    fetch(server, path)
    assert server.ranges == [None, None, "bytes=20000-", "bytes=20000-"]
    assert path.read_bytes() == server.file


@pytest.mark.parametrize("location", ["file:///etc/hosts", "ftp://127.0.0.1/set.zip", "/set.zip"])
def test_redirects_in_a_circle_or_to_other_schemes_are_refused(server, path, location):
    server.default = Response(status=302, location=location)
    message = download_error(server, path)
    assert ("this address can't be requested" if location[:3] == "ftp" else "responded with status 302") in message


@pytest.mark.parametrize(
    "url",
    [
        "",
        "afhq.zip",
        "file:///etc/hosts",
        "ftp://host/a.zip",
        "data:application/zip,PK",
        "http://",
        "http://[::1/a.zip",
        "http://host:port/a.zip",
        "https://user:secret@host/a.zip",
    ],
)
def test_only_http_addresses_are_downloaded(path, url):
    with pytest.raises(OptionError, match="give an address that begins"):
        download(url, path)
    assert not path.parent.exists()


@pytest.mark.parametrize("url", ["http://a..b/set.zip", "http://" + "a" * 70 + "/set.zip"])
def test_an_invalid_host_name_is_refused(server, path, url):
    assert "this address can't be requested" in download_error(server, path, url)


def test_other_characters_in_an_address_are_encoded(server, path):
    fetch(server, path, server.url.replace("/set.zip", "/fünf Sätze.zip"))
    assert path.read_bytes() == server.file


def test_an_unreachable_host_is_reported_without_retries(server, path, monkeypatch):
    with socket.socket() as not_listening:
        not_listening.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{not_listening.getsockname()[1]}/set.zip"
        lines: list[str] = []
        with pytest.raises(DataError, match=r"the host refused the connection\. Give another address with --url"):
            download(url, path, policy=RETRY_POLICY, say=lines.append)
        assert lines == []

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert "the host's name is unknown, or there is no network" in download_error(
        server, path, "http://nowhere.invalid/a"
    )
    assert file_names(path) == []


def test_a_download_is_retried_when_the_network_is_lost(server, path, monkeypatch):
    server.responses = [Response(cut=20_000)]
    getaddrinfo, calls = socket.getaddrinfo, []

    def sometimes(*args, **options):
        calls.append(args)
        if len(calls) == 2:
            raise socket.gaierror(-3, "Temporary failure in name resolution")
        return getaddrinfo(*args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", sometimes)
    assert any(line.startswith("the host's name is unknown") for line in fetch(server, path))
    assert path.read_bytes() == server.file


def test_too_little_disk_space_is_reported_before_writing(server, path, monkeypatch):
    interrupt(server, path)
    disk = namedtuple("disk", "total used free")
    monkeypatch.setattr(transfer.shutil, "disk_usage", lambda folder: disk(0, 0, 30_000))
    message = download_error(server, path)
    assert message.startswith(
        f"{path.parent}: the download needs 40 kB, but only 30 kB are free. Free some space, or set"
    )
    assert partial_content(path) == server.file[:20_000]


def test_a_full_disk_is_reported_and_keeps_the_partial_download(server, path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (25_000, hard))
    try:
        message = download_error(server, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert message.startswith(f"{path}.part: can't be written (File too large). 25 kB of 60 kB are kept: run the same")
    fetch(server, path)
    assert server.ranges == [None, "bytes=25000-"]
    assert path.read_bytes() == server.file


def test_a_second_process_is_refused(server, path):
    path.parent.mkdir()
    with path.with_name("set.zip.part").open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert f"{path}: another process is downloading it." in download_error(server, path)
    fetch(server, path)
    assert path.read_bytes() == server.file


def test_a_file_that_another_process_has_just_finished_is_unchanged(server, path, monkeypatch):
    def finished(file: object, how: int) -> None:
        path.with_name("set.zip.part").rename(path)
        path.write_bytes(b"complete")

    with monkeypatch.context() as patch:
        patch.setattr(partial.fcntl, "flock", finished)
        with pytest.raises(DataError, match="another process is downloading it"):
            fetch(server, path)
    assert path.read_bytes() == b"complete"


def test_a_damaged_archive_is_deleted(server, path):
    offset = len(server.file) // 4
    server.file = server.file[:offset] + bytes([server.file[offset] ^ 1]) + server.file[offset + 1 :]
    message = download_error(server, path)
    assert (
        "is not an intact zip archive (Bad CRC-32 for file 'train/cat/0.bmp') and was deleted. Give another" in message
    )
    assert file_names(path) == []


def test_a_zip_with_other_content_is_set_aside(server, path, tmp_path):
    server.file = write_zip(tmp_path / "other.zip", {"train/cat/1.png": b"", "train/dog/read.me": b""}).read_bytes()
    message = download_error(server, path)
    assert "a zip archive with other content: no image in a folder train/dog/." in message
    aside = path.with_name("set.refused.zip")
    assert f"It was saved as {aside};" in message
    assert file_names(path) == ["set.refused.zip"]
    assert zipfile.ZipFile(aside).namelist() == ["train/cat/1.png", "train/dog/read.me"]


def test_the_archive_may_have_a_top_level_folder(server, path, tmp_path):
    server.file = make_archive(tmp_path, prefix="afhq/data/")
    fetch(server, path)
    assert path.read_bytes() == server.file
