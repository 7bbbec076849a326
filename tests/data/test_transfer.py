"""What comes over a connection that breaks: continued, or begun anew."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ganzoo.data import downloading, partial, transfer
from ganzoo.data.downloading import download
from ganzoo.data.transfer import RetryPolicy, TransferError
from tests.data.fetching import FOLDERS, RETRY_POLICY, SHORT, archive, get, interrupt, listed, part, refused
from tests.data.pictures import encoded, lay_zip, noise
from tests.data.serving import Answer, Served, serving


@pytest.mark.parametrize("fault", [Answer(cut=20_000), Answer(stall=20_000)], ids=["cut", "stalled"])
def test_a_broken_connection_is_continued_where_it_broke(served, path, fault):
    served.answers = [fault, Answer(cut=5_000)]
    said = get(served, path, policy=RETRY_POLICY if fault.stall is None else SHORT)
    assert path.read_bytes() == served.file
    assert served.ranges == [None, "bytes=20000-", "bytes=25000-"]
    assert said[1].endswith("retrying in 0 s")
    assert said[2] == "resuming at 20 kB of 60 kB"


def test_many_short_connections_bring_it_as_long_as_each_gets_further(served, path):
    served.otherwise = Answer(cut=6_000)
    get(served, path)
    assert path.read_bytes() == served.file
    assert len(served.ranges) == 11  # and that with two pauses


def test_what_came_is_kept_and_the_next_call_continues_it(served, path):
    message = interrupt(served, path)
    assert message.startswith(
        f"{served.url}: the connection broke at 20 kB of 60 kB. 20 kB of 60 kB are kept: run the same"
    )
    assert message.endswith(f"with --url, or download the file yourself and save it as {path}.")
    assert part(path) == served.file[:20_000]
    get(served, path)
    assert served.ranges == ["bytes=20000-"]
    assert path.read_bytes() == served.file
    assert listed(path) == ["set.zip"]


def test_a_part_that_is_whole_is_only_checked(served, path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(downloading, "_verify_archive", lambda path: (_ for _ in ()).throw(KeyboardInterrupt))
        said: list[str] = []
        with pytest.raises(KeyboardInterrupt):
            download(served.url, path, FOLDERS, policy=RETRY_POLICY, say=said.append)
    assert said[-1] == "60 kB of 60 kB are kept: run the same command to resume."
    get(served, path)
    assert path.read_bytes() == served.file
    assert served.ranges == [None]


def test_too_long_a_length_is_no_whole_file(served, path):
    served.otherwise = Answer(extra=1000)
    assert f"the connection broke at {len(served.file) // 1000} kB of 61 kB" in refused(served, path)


def test_too_short_a_length_is_no_whole_archive(served, path):
    served.otherwise = Answer(extra=-1000)
    message = refused(served, path)
    assert (
        "the downloaded file (59 kB) is not an intact zip archive (File is not a zip file) and was deleted." in message
    )
    assert listed(path) == []


@pytest.mark.parametrize(
    ("status", "words", "asked"),
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
def test_a_server_that_gives_nothing_is_quoted(served, path, status, words, asked):
    served.otherwise = Answer(status=status)
    assert refused(served, path).startswith(f"{served.url}: {words}. Give another address with --url, or download")
    assert len(served.ranges) == asked
    assert listed(path) == []


def test_a_server_that_is_busy_for_a_moment_is_asked_again(served, path):
    served.answers = [Answer(status=503), Answer(status=429)]
    get(served, path)
    assert path.read_bytes() == served.file


def test_a_server_without_ranges_starts_over(served, path):
    served.answers = [Answer(cut=20_000)]
    served.otherwise = Answer(ranges=False)
    assert "the server can't resume downloads; starting over" in get(served, path)
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
    assert transfer.FILE_CHANGED in get(served, path)
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
    assert "(80 kB) is not an intact zip archive" in message


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
    assert "is not an intact zip archive" in refused(served, path)


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
            with partial.open_partial(path) as part:
                with suppress(TransferError):
                    transfer.transfer(served.url, part, RetryPolicy(20.0, (0.0,)), lambda line: None)
                content = part.path.read_bytes()
                assert len(set(content[2:])) <= 1, content
