"""Downloads from a server that cuts, stalls, lies and changes its mind."""

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
from tests.data.fetching import RETRY_POLICY, archive, get, interrupt, listed, part, refused
from tests.data.pictures import lay_zip
from tests.data.serving import Answer


def test_a_whole_file_comes_at_once(served, path):
    assert get(served, path) == ["downloading 60 kB"]
    assert path.read_bytes() == served.file
    assert listed(path) == ["set.zip"]
    assert served.ranges == [None]


@pytest.mark.parametrize("page", [b"<!DOCTYPE html><p>This link is dead.", b"PK? No."], ids=["page", "liar"])
def test_a_web_page_is_no_archive(served, path, page):
    served.otherwise = Answer(page=page)
    message = refused(served, path)
    assert ("sent a web page; the link may be dead" if page[:1] == b"<" else "is not an intact zip archive") in message
    assert listed(path) == []


def test_a_link_that_dies_takes_nothing_away(served, path):
    served.answers = [Answer(cut=20_000), Answer(page=b"<p>Sorry."), Answer(status=404)]
    message = refused(served, path)
    assert "a web page" in message
    assert "20 kB of 60 kB are kept" in message
    assert "20 kB of 60 kB are kept" in refused(served, path)  # 404
    assert part(path) == served.file[:20_000]
    get(served, path)
    assert served.ranges[-1] == "bytes=20000-"


def test_redirections_are_followed(served, path):
    served.answers = [
        Answer(status=302, location="/elsewhere"),
        Answer(cut=20_000),
        Answer(status=307, location="/elsewhere"),
    ]
    get(served, path)
    assert served.ranges == [None, None, "bytes=20000-", "bytes=20000-"]
    assert path.read_bytes() == served.file


@pytest.mark.parametrize("location", ["file:///etc/hosts", "ftp://127.0.0.1/set.zip", "/set.zip"])
def test_redirections_elsewhere_or_in_a_circle_are_refused(served, path, location):
    served.otherwise = Answer(status=302, location=location)
    message = refused(served, path)
    assert ("this address can't be requested" if "://" in location else "the server redirected too often") in message


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
def test_only_addresses_of_the_web_are_fetched(path, url):
    with pytest.raises(OptionError, match="give an address that begins"):
        download(url, path)
    assert not path.parent.exists()


@pytest.mark.parametrize("url", ["http://a..b/set.zip", "http://" + "a" * 70 + "/set.zip"])
def test_a_host_that_cannot_be_is_refused(served, path, url):
    assert "this address can't be requested" in refused(served, path, url)


def test_letters_that_no_address_has_are_encoded(served, path):
    get(served, path, served.url.replace("/set.zip", "/fünf Sätze.zip"))
    assert path.read_bytes() == served.file


def test_a_host_that_was_never_there_is_told_at_once(served, path, monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/set.zip"
        said: list[str] = []
        with pytest.raises(DataError, match=r"the host refused the connection\. Give another address with --url"):
            download(url, path, policy=RETRY_POLICY, say=said.append)
        assert said == []

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert "the host's name is unknown, or there is no network" in refused(served, path, "http://nowhere.invalid/a")
    assert listed(path) == []


def test_a_network_that_goes_and_comes_back_is_waited_for(served, path, monkeypatch):
    served.answers = [Answer(cut=20_000)]
    right, calls = socket.getaddrinfo, []

    def sometimes(*args, **options):
        calls.append(args)
        if len(calls) == 2:
            raise socket.gaierror(-3, "Temporary failure in name resolution")
        return right(*args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", sometimes)
    assert any(line.startswith("the host's name is unknown") for line in get(served, path))
    assert path.read_bytes() == served.file


def test_too_small_a_disk_is_told_before_anything_is_written(served, path, monkeypatch):
    interrupt(served, path)
    disk = namedtuple("disk", "total used free")
    monkeypatch.setattr(transfer.shutil, "disk_usage", lambda folder: disk(0, 0, 30_000))
    message = refused(served, path)
    assert message.startswith(
        f"{path.parent}: the download needs 40 kB, but only 30 kB are free. Free some space, or set"
    )
    assert part(path) == served.file[:20_000]


def test_a_full_disk_is_told_and_what_came_is_kept(served, path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (25_000, hard))
    try:
        message = refused(served, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert message.startswith(f"{path}.part: can't be written (File too large). 25 kB of 60 kB are kept: run the same")
    get(served, path)
    assert served.ranges == [None, "bytes=25000-"]
    assert path.read_bytes() == served.file


def test_a_second_process_is_sent_away(served, path):
    path.parent.mkdir()
    with path.with_name("set.zip.part").open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert f"{path}: another process is downloading it." in refused(served, path)
    get(served, path)
    assert path.read_bytes() == served.file


def test_what_another_process_finishes_at_this_moment_is_left_alone(served, path, monkeypatch):
    def finished(file: object, how: int) -> None:
        path.with_name("set.zip.part").rename(path)
        path.write_bytes(b"whole")

    with monkeypatch.context() as patch:
        patch.setattr(partial.fcntl, "flock", finished)
        with pytest.raises(DataError, match="another process is downloading it"):
            get(served, path)
    assert path.read_bytes() == b"whole"


def test_an_archive_with_a_damaged_file_is_not_taken(served, path):
    at = len(served.file) // 4
    served.file = served.file[:at] + bytes([served.file[at] ^ 1]) + served.file[at + 1 :]
    message = refused(served, path)
    assert (
        "is not an intact zip archive (Bad CRC-32 for file 'train/cat/0.bmp') and was deleted. Give another" in message
    )
    assert listed(path) == []


def test_a_zip_of_something_else_is_put_aside(served, path, tmp_path):
    served.file = lay_zip(tmp_path / "other.zip", {"train/cat/1.png": b"", "train/dog/read.me": b""}).read_bytes()
    message = refused(served, path)
    assert "a zip archive with other content: no image in a folder train/dog/." in message
    aside = path.with_name("set.refused.zip")
    assert f"It was saved as {aside};" in message
    assert listed(path) == ["set.refused.zip"]
    assert zipfile.ZipFile(aside).namelist() == ["train/cat/1.png", "train/dog/read.me"]


def test_a_folder_may_wrap_everything(served, path, tmp_path):
    served.file = archive(tmp_path, prefix="afhq/data/")
    get(served, path)
    assert path.read_bytes() == served.file
