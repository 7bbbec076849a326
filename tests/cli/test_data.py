from __future__ import annotations

import json

import pytest

from ganzoo.data.storage import open_path
from tests.data.pictures import encoded, lay_folder, noise


def test_list_names_the_bundled_sets(ganzoo):
    rows = {row["name"]: row for row in json.loads(ganzoo("data", "list", "--json").stdout)}
    assert rows["mnist"]["ready"] is True
    assert rows["symbols"]["ready"] is False  # the data directory of this test is empty
    assert "mnist" in ganzoo("data", "list").stdout


def test_validation_images_are_not_listed_as_a_set(ganzoo, pictures, workdir):
    for name in ("mine", "mine-val", "interval", "other-val"):
        assert ganzoo("data", "prepare", "pictures", "--out", name).exit_code == 0
    names = {row["name"] for row in json.loads(ganzoo("data", "list", "--json").stdout)}
    assert names >= {"mine", "interval", "other-val"}
    assert "mine-val" not in names


def test_check_counts_a_good_folder(ganzoo, pictures):
    result = ganzoo("data", "check", "pictures")
    assert result.exit_code == 0
    assert "12 readable images of 12, RGB" in result.stdout
    assert "10 x 12 px: 12" in result.stdout


def test_check_names_every_unreadable_file(ganzoo, pictures):
    (pictures / "03.png").write_bytes((pictures / "03.png").read_bytes()[:100])
    (pictures / "07.png").write_bytes(b"")
    result = ganzoo("data", "check", "pictures")
    assert result.exit_code == 1
    assert "pictures/03.png" in result.stdout
    assert "pictures/07.png" in result.stdout
    assert "2 of 12 images can't be read" in result.stderr


def test_check_of_nothing_is_told(ganzoo):
    result = ganzoo("data", "check", "mnits")
    assert result.exit_code == 1
    assert "Did you mean 'mnist'?" in result.stderr


def test_prepare_makes_a_set_that_is_known_by_its_name(ganzoo, pictures, workdir):
    result = ganzoo("data", "prepare", "pictures", "--out", "mine", "--sizes", "4-8", "--flip")
    assert result.exit_code == 0, result.output
    assert "12 images at 4, 8 px" in result.stdout
    assert "Train with: ganzoo train MODEL --data mine" in result.stdout
    assert "12 readable images of 12, RGB" in ganzoo("data", "check", "mine").stdout
    rows = {row["name"]: row for row in json.loads(ganzoo("data", "list", "--json").stdout)}
    assert rows["mine"] == {"name": "mine", "summary": f"prepared: {workdir}/data/mine.lmdb", "ready": True}
    assert open_path(workdir / "data" / "mine.lmdb").info.flip is True
    assert "Did you mean 'mine'?" in ganzoo("data", "check", "mein").stderr


def test_an_empty_option_of_prepare_is_refused_not_ignored(ganzoo, pictures, workdir):
    for option in (["--out", "mine", "--sizes", ""], ["--out", ""]):
        result = ganzoo("data", "prepare", "pictures", *option)
        assert (result.exit_code, result.stderr.startswith(f"Error: {option[-2]} ")) == (2, True)


def test_prepare_takes_a_path_and_sizes_up_to_that_of_the_images(ganzoo, pictures, workdir):
    result = ganzoo("data", "prepare", "./pictures", "--out", "some/where", "--lossless", "--workers", "1")
    assert result.exit_code == 0, result.output
    assert "some/where: 12 images at 8 px" in result.stdout
    assert "--data some/where" in result.stdout
    assert "8 x 8 px: 12" in ganzoo("data", "check", "some/where").stdout
    again = ganzoo("data", "prepare", "pictures", "--out", "some/where")
    assert again.exit_code == 1
    assert "some/where: is there already. Delete it first, or choose another name." in again.stderr


@pytest.mark.parametrize(("option", "domains"), [([], ("0", "1")), (["--no-domains"], ())])
def test_prepare_takes_sub_folders_for_domains_or_not(ganzoo, workdir, option, domains):
    lay_folder(workdir / "set", {f"{index}/a.png": encoded(noise(9, 9)) for index in range(2)})
    assert ganzoo("data", "prepare", "set", "--out", "mine", *option).exit_code == 0
    assert open_path(workdir / "data" / "mine.lmdb").info.domains == domains


def test_prepare_takes_mnist_with_its_domains(ganzoo, workdir, monkeypatch):
    from ganzoo_datasets import mnist

    whole = mnist.MNIST.open

    def few(self):
        digits = whole(self)
        return mnist.Digits(digits._images[:100], digits._labels[:100])

    monkeypatch.setattr(mnist.MNIST, "open", few)
    assert ganzoo("data", "prepare", "mnist", "--out", "digits", "--sizes", "8-32").exit_code == 0
    data = open_path(workdir / "data" / "digits.lmdb")
    assert (data.info.count, data.info.size, data.info.channels, data.info.flip) == (100, 32, 1, False)
    assert data.info.domains == tuple("0123456789")
    assert [data.load(index)[1] for index in range(8)] == [5, 0, 4, 1, 9, 2, 1, 3]


@pytest.mark.parametrize("bad", [2, 21])
def test_prepare_lists_what_cannot_be_read(ganzoo, pictures, workdir, bad):
    for index in range(bad):
        (pictures / f"bad {index:02d}.png").write_bytes(b"text")
    result = ganzoo("data", "prepare", "pictures", "--out", "mine")
    assert result.exit_code == 0
    assert "12 images at 8 px" in result.stdout
    assert f"{bad} images can't be read and were left out." in result.stdout
    listed = [index for index in range(bad) if f"pictures/bad {index:02d}.png: not a readable image" in result.stdout]
    assert listed == list(range(min(bad, 20)))
    file = workdir / "data" / "mine.lmdb.unreadable.txt"
    assert file.exists() is (bad > 20)
    if file.exists():
        assert [line.split(":")[0] for line in file.read_text().splitlines()] == [
            f"pictures/bad {index:02d}.png" for index in range(bad)
        ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "mine", "--sizes", "9"], "--sizes 9: give powers of two from 4 to 1024"),
        (["--out", "two words"], "--out 'two words': give a name"),
        (["--out", ".hidden"], "--out '.hidden': give a name"),
        (["--out", "mnist"], "--out mnist: a data set of that name is there already"),
        ([], "Missing option '--out'"),
    ],
)
def test_prepare_refuses_wrong_options(ganzoo, pictures, workdir, arguments, message):
    result = ganzoo("data", "prepare", "pictures", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert [path.name for path in workdir.iterdir()] == ["pictures"]


def test_a_set_that_is_not_bundled_can_be_prepared_under_its_name(ganzoo, workdir):
    assert "ganzoo data prepare PATH --out ffhq" in ganzoo("data", "check", "ffhq").stderr
    lay_folder(workdir / "fetched", {f"0{index}000/{index}.png": encoded(noise(9, 9)) for index in range(3)})
    assert ganzoo("data", "prepare", "fetched", "--out", "ffhq").exit_code == 0
    assert "3 readable images of 3, RGB" in ganzoo("data", "check", "ffhq").stdout
    assert "ffhq         ready" in ganzoo("data", "list").stdout
