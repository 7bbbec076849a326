from __future__ import annotations

from ganzoo.checkpoints import checkpoint
from ganzoo.reports import render
from ganzoo.reports.cache import ReportCache
from ganzoo.reports.parameters import count_parameters
from ganzoo.runs import Run
from tests.support.runs import newest


def test_trainable_parameters_are_counted_as_by_the_networks(trained):
    saved = newest(trained)
    counts = count_parameters(trained)
    assert set(counts) == {"generator", "discriminator"}
    for network, count in counts.items():
        arrays = checkpoint.with_prefix(saved.tensors, f"adam/{network}/first/")
        assert count == sum(array.size for array in arrays.values()) > 0
    assert f"{counts['generator']:,} parameters" in render(Run(trained))


def test_shapes_are_those_of_the_arrays(trained):
    saved = newest(trained)
    assert checkpoint.read_shapes(saved.path) == {name: array.shape for name, array in saved.tensors.items()}


def test_without_an_intact_checkpoint_nothing_is_known(tmp_path):
    assert count_parameters(tmp_path) == {}
    (tmp_path / checkpoint.file_name(1000)).write_bytes(b"x" * 100)
    assert count_parameters(tmp_path) == {}


def test_parameters_are_read_once(trained):
    cache = ReportCache()
    counts = cache.parameters(trained)
    for path in checkpoint.list_checkpoints(trained):
        path.unlink()
    assert cache.parameters(trained) == counts != {}
