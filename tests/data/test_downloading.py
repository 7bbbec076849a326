"""Downloads from a server that cuts, stalls, lies and changes its mind."""

from __future__ import annotations

import fcntl
import resource
import socket
import zipfile
from collections import namedtuple
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ganzoo.data import downloading, transfer
from ganzoo.data.downloading import download
from ganzoo.data.transfer import Failure, Patience
from ganzoo.errors import DataError, OptionError
from tests.data.pictures import encoded, lay_zip, noise
from tests.data.serving import Answer, Served, serving

FOLDERS = ("train/cat", "train/dog")
PATIENCE = Patience(timeout=20.0, pauses=(0.0, 0.01))
SHORT = Patience(timeout=1.0, pauses=(0.0, 0.01))  # longer than a busy machine is silent


def archive(tmp_path: Path, seed: int = 0, prefix: str = "") -> bytes:
    """A zip of two domains, about 60 kB; the same length for each seed."""
    files = {f"{prefix}{folder}/{seed}.bmp": encoded(noise(100, 100, seed=seed), "bmp") for folder in FOLDERS}
    return lay_zip(tmp_path / "made.zip", files).read_bytes()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(archive(tmp_path)) as server:
        yield server


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "set.zip"


def get(served: Served, path: Path, url: str = "", patience: Patience = PATIENCE) -> list[str]:
    said: list[str] = []
    download(url or served.url, path, FOLDERS, patience=patience, say=said.append)
    return said


def refused(served: Served, path: Path, url: str = "") -> str:
    with pytest.raises(DataError) as caught:
        get(served, path, url)
    assert not path.exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def interrupt(served: Served, path: Path) -> str:
    """Leave a part of 20,000 bytes."""
    served.answers = [Answer(cut=20_000), Answer(cut=0), Answer(cut=0)]
    message = refused(served, path)
    served.ranges.clear()
    return message


def listed(path: Path) -> list[str]:
    return sorted(each.name for each in path.parent.iterdir())


def part(path: Path) -> bytes:
    return path.with_name(f"{path.name}.part").read_bytes()


def test_a_whole_file_comes_at_once(served, path):
    assert get(served, path) == ["downloading 60 kB"]
    assert path.read_bytes() == served.file
    assert listed(path) == ["set.zip"]
    assert served.ranges == [None]


@pytest.mark.parametrize("fault", [Answer(cut=20_000), Answer(stall=20_000)], ids=["cut", "stalled"])
def test_a_broken_connection_is_continued_where_it_broke(served, path, fault):
    served.answers = [fault, Answer(cut=5_000)]
    said = get(served, path, patience=PATIENCE if fault.stall is None else SHORT)
    assert path.read_bytes() == served.file
    assert served.ranges == [None, "bytes=20000-", "bytes=25000-"]
    assert said[1].endswith("the next attempt is in 0 s")
    assert said[2] == "continuing at 20 kB of 60 kB"


def test_many_short_connections_bring_it_as_long_as_each_gets_further(served, path):
    served.otherwise = Answer(cut=6_000)
    get(served, path)
    assert path.read_bytes() == served.file
    assert len(served.ranges) == 11  # and that with two pauses


def test_what_came_is_kept_and_the_next_call_continues_it(served, path):
    message = interrupt(served, path)
    assert message.startswith(
        f"{served.url}: the connection broke at 20 kB of 60 kB. 20 kB of 60 kB are kept: the same"
    )
    assert message.endswith(f"with --url, or fetch the file by hand and put it at {path}.")
    assert part(path) == served.file[:20_000]
    get(served, path)
    assert served.ranges == ["bytes=20000-"]
    assert path.read_bytes() == served.file
    assert listed(path) == ["set.zip"]


def test_a_part_that_is_whole_is_only_checked(served, path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(downloading, "_names_of_whole", lambda path: (_ for _ in ()).throw(KeyboardInterrupt))
        said: list[str] = []
        with pytest.raises(KeyboardInterrupt):
            download(served.url, path, FOLDERS, patience=PATIENCE, say=said.append)
    assert said[-1] == "60 kB of 60 kB are kept: the same command continues it."
    get(served, path)
    assert path.read_bytes() == served.file
    assert served.ranges == [None]


def test_too_long_a_length_is_no_whole_file(served, path):
    served.otherwise = Answer(extra=1000)
    assert f"the connection broke at {len(served.file) // 1000} kB of 61 kB" in refused(served, path)


def test_too_short_a_length_is_no_whole_archive(served, path):
    served.otherwise = Answer(extra=-1000)
    message = refused(served, path)
    assert "what came from there, 59 kB, is no whole zip archive (File is not a zip file), and was deleted." in message
    assert listed(path) == []


@pytest.mark.parametrize(
    ("status", "words", "asked"),
    [
        (404, "the server has no such file (status 404)", 1),
        (410, "the server has no such file (status 410)", 1),
        (403, "the server doesn't give it to everybody (status 403)", 1),
        (400, "the server's answer is 400 (Bad Request)", 1),
        (204, "the server's answer is 204 (No Content)", 1),
        (206, "the server's answer is 206 (Partial Content)", 1),
        (503, "the server's answer is 503 (Service Unavailable)", 3),
    ],
)
def test_a_server_that_gives_nothing_is_quoted(served, path, status, words, asked):
    served.otherwise = Answer(status=status)
    assert refused(served, path).startswith(f"{served.url}: {words}. Give another address with --url, or fetch")
    assert len(served.ranges) == asked
    assert listed(path) == []


def test_a_server_that_is_busy_for_a_moment_is_asked_again(served, path):
    served.answers = [Answer(status=503), Answer(status=429)]
    get(served, path)
    assert path.read_bytes() == served.file


@pytest.mark.parametrize("page", [b"<!DOCTYPE html><p>This link is dead.", b"PK? No."], ids=["page", "liar"])
def test_a_web_page_is_no_archive(served, path, page):
    served.otherwise = Answer(page=page)
    message = refused(served, path)
    assert ("is a web page; the link may be dead" if page[:1] == b"<" else "is no whole zip archive") in message
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


def test_a_server_without_ranges_starts_over(served, path):
    served.answers = [Answer(cut=20_000)]
    served.otherwise = Answer(ranges=False)
    assert "the server doesn't continue downloads; starting over" in get(served, path)
    assert path.read_bytes() == served.file


@pytest.mark.parametrize(
    "fault",
    [
        Answer(),
        Answer(if_range=False),
        Answer(if_range=False, etag=False),
        Answer(if_range=False, modified=False),
        Answer(ranges=False),
        Answer(if_range=False, etag=False, modified=False),
    ],
    ids=["If-Range", "ETag", "Last-Modified only", "ETag only", "no ranges", "no marks"],
)
@pytest.mark.parametrize("shorter", [False, True])
def test_a_file_that_changes_between_two_attempts_is_fetched_anew(served, path, tmp_path, fault, shorter):
    new = archive(tmp_path, seed=1)
    if shorter:
        new = lay_zip(tmp_path / "made.zip", {f"{f}/1.bmp": encoded(noise(9, 9), "bmp") for f in FOLDERS}).read_bytes()
    else:
        assert len(new) == len(served.file)
        assert new != served.file
    fault.change = new
    served.answers = [Answer(cut=20_000), fault]
    assert transfer.ANOTHER in get(served, path)
    assert path.read_bytes() == new


def test_a_server_that_heeds_if_range_is_asked_only_once_for_a_changed_file(served, path, tmp_path):
    served.answers = [Answer(cut=20_000), Answer(change=archive(tmp_path, seed=1))]
    get(served, path)
    assert served.ranges == [None, "bytes=20000-"]
    assert path.read_bytes() == served.file


def test_another_length_is_another_file_whatever_its_marks(served, path):
    interrupt(served, path)
    served.file = served.file[:30_000] + bytes(20_000) + served.file[30_000:]  # under the old marks
    message = refused(served, path)
    assert served.ranges == ["bytes=20000-", None]
    assert "80 kB, is no whole zip archive" in message


def test_a_part_longer_than_the_whole_is_not_continued(served, path):
    interrupt(served, path)
    with path.with_name("set.zip.part").open("ab") as file:
        file.write(bytes(50_000))
    get(served, path)
    assert served.ranges == [None]
    assert path.read_bytes() == served.file


def test_without_marks_nothing_is_continued(served, path):
    served.answers = [Answer(cut=20_000, etag=False, modified=False)]
    get(served, path)
    assert served.ranges == [None, None]
    assert path.read_bytes() == served.file


def test_a_range_that_begins_elsewhere_is_not_taken(served, path):
    served.answers = [Answer(cut=20_000), Answer(shift=7)]
    get(served, path)
    assert served.ranges == [None, "bytes=20000-", None]
    assert path.read_bytes() == served.file


def test_a_weak_mark_does_not_promise_the_same_bytes(served, path, monkeypatch):
    monkeypatch.setattr(Served, "etag", 'W/"1"')
    served.answers = [Answer(cut=20_000, modified=False)]
    get(served, path)
    assert served.ranges == [None, None]


def test_a_part_from_another_address_is_not_continued(served, path):
    interrupt(served, path)
    served.answers = [Answer(status=404)]
    assert "are kept" not in refused(served, path, served.url + "&copy")
    assert part(path) == served.file[:20_000]
    served.ranges.clear()
    get(served, path, served.url + "&copy")
    assert served.ranges == [None]


@pytest.mark.parametrize("note", ["", "[]", "{}", '{"url": 1, "length": "x", "etag": "y"}'])
def test_a_part_with_a_damaged_note_is_not_continued(served, path, note):
    interrupt(served, path)
    path.with_name("set.zip.part.json").write_text(note)
    get(served, path)
    assert served.ranges == [None]
    assert path.read_bytes() == served.file


def test_a_file_of_unknown_length_is_taken_if_the_archive_is_whole(served, path):
    served.otherwise = Answer(length=False)
    assert get(served, path) == ["downloading a file of unknown length"]
    assert path.read_bytes() == served.file
    path.unlink()
    served.otherwise = Answer(length=False, cut=20_000)
    assert "is no whole zip archive" in refused(served, path)


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
    assert ("such an address can't be asked" if location[:3] == "ftp" else "the server's answer is 302") in message


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
    with pytest.raises(OptionError, match="can't be fetched: --url takes an address"):
        download(url, path)
    assert not path.parent.exists()


@pytest.mark.parametrize("url", ["http://a..b/set.zip", "http://" + "a" * 70 + "/set.zip"])
def test_a_host_that_cannot_be_is_refused(served, path, url):
    assert "such an address can't be asked" in refused(served, path, url)


def test_letters_that_no_address_has_are_encoded(served, path):
    get(served, path, served.url.replace("/set.zip", "/fünf Sätze.zip"))
    assert path.read_bytes() == served.file


def test_a_host_that_was_never_there_is_told_at_once(served, path, monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/set.zip"
        said: list[str] = []
        with pytest.raises(DataError, match=r"the host refuses the connection\. Give another address with --url"):
            download(url, path, patience=PATIENCE, say=said.append)
        assert said == []

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert "the host's name is not known, or there is no network" in refused(served, path, "http://nowhere.invalid/a")
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
    assert any(line.startswith("the host's name is not known") for line in get(served, path))
    assert path.read_bytes() == served.file


def test_too_small_a_disk_is_told_before_anything_is_written(served, path, monkeypatch):
    interrupt(served, path)
    disk = namedtuple("disk", "total used free")
    monkeypatch.setattr(transfer.shutil, "disk_usage", lambda folder: disk(0, 0, 30_000))
    message = refused(served, path)
    assert message.startswith(f"{path.parent}: the download needs 40 kB, but 30 kB are free there. Make room, or set")
    assert part(path) == served.file[:20_000]


def test_a_full_disk_is_told_and_what_came_is_kept(served, path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (25_000, hard))
    try:
        message = refused(served, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert message.startswith(f"{path}.part: can't be written (File too large). 25 kB of 60 kB are kept: the same")
    get(served, path)
    assert served.ranges == [None, "bytes=25000-"]
    assert path.read_bytes() == served.file


def test_a_second_process_is_sent_away(served, path):
    path.parent.mkdir()
    with path.with_name("set.zip.part").open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert f"{path}: another process downloads it at this moment." in refused(served, path)
    get(served, path)
    assert path.read_bytes() == served.file


def test_what_another_process_finishes_at_this_moment_is_left_alone(served, path, monkeypatch):
    def finished(file: object, how: int) -> None:
        path.with_name("set.zip.part").rename(path)
        path.write_bytes(b"whole")

    with monkeypatch.context() as patch:
        patch.setattr(downloading.fcntl, "flock", finished)
        with pytest.raises(DataError, match="another process downloads it"):
            get(served, path)
    assert path.read_bytes() == b"whole"


def test_an_archive_with_a_damaged_file_is_not_taken(served, path):
    at = len(served.file) // 4
    served.file = served.file[:at] + bytes([served.file[at] ^ 1]) + served.file[at + 1 :]
    message = refused(served, path)
    assert "is no whole zip archive (Bad CRC-32 for file 'train/cat/0.bmp'), and was deleted. Give another" in message
    assert listed(path) == []


def test_a_zip_of_something_else_is_put_aside(served, path, tmp_path):
    served.file = lay_zip(tmp_path / "other.zip", {"train/cat/1.png": b"", "train/dog/read.me": b""}).read_bytes()
    message = refused(served, path)
    assert "a zip archive of something else, without an image in a folder train/dog/." in message
    aside = path.with_name("set.refused.zip")
    assert f"It is kept as {aside};" in message
    assert listed(path) == ["set.refused.zip"]
    assert zipfile.ZipFile(aside).namelist() == ["train/cat/1.png", "train/dog/read.me"]


def test_a_folder_may_wrap_everything(served, path, tmp_path):
    served.file = archive(tmp_path, prefix="afhq/data/")
    get(served, path)
    assert path.read_bytes() == served.file


FAULTS = st.builds(
    Answer,
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


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(FAULTS, max_size=8))
def test_no_two_files_are_ever_put_together(tmp_path_factory, faults):
    path = tmp_path_factory.mktemp("data") / "set.zip"
    with serving(b"PK" + b"a" * 298) as served:
        served.answers = list(faults)
        for _ in range(len(faults) + 1):
            with downloading._held(path) as part:
                with suppress(Failure):
                    transfer.transfer(served.url, part, Patience(20.0, (0.0,)), lambda line: None)
                content = part.path.read_bytes()
                assert len(set(content[2:])) <= 1, content
