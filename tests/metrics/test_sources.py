from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ganzoo import DataInfo, Dataset
from ganzoo.errors import DataError
from tests.support import mean_colour


class NumberedDataset(Dataset):
    """Image i is grey, with brightness i and label i % 3. The indices in `bad` can't be read."""

    def __init__(self, count: int, size: int = 8, bad: tuple[int, ...] = ()) -> None:
        self.info = DataInfo("numbered", count, size, 3, ("a", "b", "c"))
        self.bad = bad

    def load(self, index, size=None):
        if index in self.bad:
            raise DataError(f"{index}.png: not a readable image.")
        return np.full((8, 8, 3), index, np.uint8), index % 3


def numbers(source) -> list[int]:
    """Return the numbers of the images that a source yields."""
    return [int(image[0, 0, 0]) for batch in source.batches() for image in batch]


def images(dataset, **settings):
    from ganzoo.metrics.sources import DatasetSource

    return DatasetSource(dataset, settings.pop("data", dataset.info), **settings)


def test_all_images_come_in_the_same_order_each_time():
    source = images(NumberedDataset(200))
    assert numbers(source) == list(range(200)) == numbers(source)
    assert source.count == 200


def test_a_source_of_one_domain_has_only_its_images():
    source = images(NumberedDataset(20), domain=1)
    assert numbers(source) == list(range(1, 20, 3))
    assert source.name == "numbered/b"


def test_a_subset_depends_on_the_seed():
    subsets = [numbers(images(NumberedDataset(250), max_images=40, seed=seed)) for seed in (0, 0, 1)]
    assert subsets[0] == subsets[1] != subsets[2]
    assert len(set(subsets[0])) == 40


def test_a_domain_without_images_is_an_error():
    dataset = NumberedDataset(20)
    dataset.info = replace(dataset.info, domains=("a", "b", "c", "empty"))
    with pytest.raises(DataError, match=r"numbered/empty: contains no images"):
        images(dataset, domain=3)


def test_unreadable_images_are_skipped_and_reported_once():
    logged = []
    source = images(NumberedDataset(9, bad=(2, 5)), log=logged.append)
    assert numbers(source) == numbers(source) == [0, 1, 3, 4, 6, 7, 8]
    assert logged == ["2.png: not a readable image. Skipped.", "5.png: not a readable image. Skipped."]
    assert source.count == 7


def test_large_images_are_loaded_a_few_at_a_time(monkeypatch):
    from ganzoo.metrics import sources

    monkeypatch.setattr(sources, "BATCH_BYTES", 5 * 8 * 8 * 3 + 1)
    source = images(NumberedDataset(12))
    assert [len(batch) for batch in source.batches()] == [5, 5, 2]
    assert numbers(source) == list(range(12))


def test_strict_refuses_images_of_another_size():
    dataset = NumberedDataset(4)
    assert numbers(images(dataset, strict=True)) == [0, 1, 2, 3]
    source = images(dataset, data=replace(dataset.info, size=16), strict=True)
    with pytest.raises(
        DataError, match=r"image 0 of numbered: 8 x 8 px, but all images must be 16 x 16 px\. Use --size"
    ):
        numbers(source)
    (batch,) = images(dataset, data=replace(dataset.info, size=16, channels=1)).batches()
    assert batch.shape == (4, 16, 16, 1)


class Echo:
    """A generator whose images are the latents."""

    latent, classes, attributes = 12, 0, 0

    def __call__(self, z):
        return (z / 8).reshape((-1, 3, 2, 2))


def test_latents_depend_only_on_the_seed(jittor, monkeypatch):
    from ganzoo.metrics.sources import GeneratorSource
    from ganzoo.sampling import sampler

    def drawn(count, seed):
        return np.concatenate(list(GeneratorSource(Echo(), count, seed).batches()))

    images = drawn(100, 3)
    assert images.shape == (100, 2, 2, 3)
    assert np.array_equal(images[:30], drawn(30, 3))
    assert not np.array_equal(images, drawn(100, 4))
    monkeypatch.setattr(sampler, "MAX_CHUNK", 7)
    assert np.array_equal(images, drawn(100, 3))
    values = images / 127.5 - 1
    assert abs(values.mean()) < 0.02
    assert values.std() == pytest.approx(1 / 8, rel=0.1)


def test_a_style_based_generator_gets_different_noise_for_each_image(jittor, tmp_path):
    from ganzoo.checkpoints import loading
    from ganzoo.metrics.sources import GeneratorSource
    from tests.support import stylegan_checkpoint

    saved, registry = stylegan_checkpoint.write_checkpoint(tmp_path / "checkpoint.safetensors", size=8)
    generator = loading.load_generator(saved, registry)
    generator.map = lambda z: 0.0 * z  # so that images differ only in noise
    (batch,) = GeneratorSource(generator, 3, 0).batches()
    assert not np.array_equal(batch[0], batch[1])
    assert np.array_equal(batch, next(GeneratorSource(generator, 3, 0).batches()))


@pytest.fixture
def translations(jittor):
    """Return a function that makes a source of translations, by the `mean_colour` model, from the domain 'cat'."""
    from ganzoo.metrics.sources import DatasetSource, TranslationSource

    class Animals(NumberedDataset):
        def __init__(self, count):
            super().__init__(count)
            self.info = replace(mean_colour.INFO, count=count)

    def make(domain, *, reference=False, count=30, seed=0):
        translator, dataset = mean_colour.make()[1], Animals(count)
        references = DatasetSource(dataset, dataset.info, domain=domain) if reference else None
        return TranslationSource(translator, DatasetSource(dataset, dataset.info, domain=0), domain, references, seed)

    return make


def colours(source) -> np.ndarray:
    """Return the mean colours (sources, 10, 3) of the translations, before clipping."""
    return np.concatenate([group.mean((3, 4)) for group in source.groups()], 1).transpose(1, 0, 2)


def test_each_source_has_ten_different_translations(translations):
    found = colours(translations(1))
    assert found.shape == (10, 10, 3)
    styles = (found - mean_colour.COLOURS[1]) * 3  # the latents
    assert len(np.unique(styles.reshape(-1, 3).round(4), axis=0)) == 100
    assert abs(styles.mean()) < 0.2
    assert styles.std() == pytest.approx(1, rel=0.1)
    assert np.array_equal(found, colours(translations(1)))
    assert not np.array_equal(found, colours(translations(1, seed=1)))
    assert translations(1).count == 100


def test_the_count_of_translations_excludes_unreadable_sources(translations):
    source = translations(1)
    source.sources.dataset.bad = (0, 6)
    assert sum(len(batch) for batch in source.batches()) == source.count == 80


def test_every_image_of_the_target_domain_is_a_reference_equally_often(translations):
    found = colours(translations(2, reference=True, count=36))
    brightness = np.rint((found[..., 0] + 1) * 127.5).astype(int)
    assert set(brightness.ravel()) == set(range(2, 36, 3))  # all images of the third domain
    assert all(count == 10 for count in np.bincount(brightness.ravel())[2:36:3])  # equally often
    assert np.array_equal(found, colours(translations(2, reference=True, count=36)))


def test_batches_are_flattened_groups(translations):
    from ganzoo.sampling.sampler import to_uint8

    source = translations(1)
    for group, batch in zip(source.groups(), source.batches()):
        assert np.array_equal(batch, to_uint8(group.reshape(-1, *group.shape[2:])))


class LabelledGenerator:
    """A stand-in for a class-conditional generator: images show the number of their class."""

    latent, attributes = 4, 0

    def __init__(self, classes: int = 3) -> None:
        self.classes = classes

    def __call__(self, z, labels):
        from ganzoo import jt

        numbers = (labels * jt.array(np.arange(self.classes, dtype=np.float32)[None])).sum(1)
        return (numbers / 127.5 - 1).reshape((-1, 1, 1, 1)).broadcast((len(z), 3, 8, 8))


def test_generated_classes_have_the_frequencies_of_the_data(jittor):
    from ganzoo.metrics.comparison import generator_comparisons

    class Uneven(NumberedDataset):
        def load(self, index, size=None):
            return super().load(index, size)[0], 0 if index < 60 else 2  # 60 % a, 40 % c, no b

    dataset = Uneven(100)
    (comparison,) = generator_comparisons(LabelledGenerator(), dataset, dataset.info, 1000)
    shown = numbers(comparison.generated)
    assert len(shown) == 1000
    assert 1 not in shown
    assert abs(shown.count(0) / 1000 - 0.6) < 0.05
    assert shown == numbers(comparison.generated)


def test_each_class_can_be_compared_with_its_own_images(jittor):
    from ganzoo.metrics.comparison import generator_comparisons

    dataset = NumberedDataset(30)
    found = generator_comparisons(LabelledGenerator(), dataset, dataset.info, 20, per_class=True)
    assert [(each.mode, each.source, each.target) for each in found] == [("class", "", name) for name in "abc"]
    for index, each in enumerate(found):
        assert numbers(each.generated) == [index] * 20
        assert numbers(each.real) == list(range(index, 30, 3))


def test_classes_that_are_not_the_domains_of_the_data_are_an_error(jittor):
    from ganzoo.metrics.comparison import generator_comparisons

    dataset = NumberedDataset(30)
    with pytest.raises(DataError, match=r"its domains \(a, b, c\) differ from the model's classes"):
        generator_comparisons(LabelledGenerator(2), dataset, replace(dataset.info, domains=("a", "b")), 20)


def test_a_model_without_classes_is_not_compared_by_class(jittor):
    from ganzoo.errors import UnsupportedByModelError
    from ganzoo.metrics.comparison import generator_comparisons

    dataset = NumberedDataset(30)
    with pytest.raises(UnsupportedByModelError, match="--per-class: the model has no classes"):
        generator_comparisons(LabelledGenerator(0), dataset, dataset.info, 20, per_class=True)


class AttributeGenerator:
    """A stand-in for a generator with attributes: images show the first attribute."""

    latent, classes, attributes = 4, 0, 2

    def __call__(self, z, attributes):
        return (attributes[:, 0] / 127.5 - 1).reshape((-1, 1, 1, 1)).broadcast((len(z), 1, 8, 8))


def test_generated_attributes_have_the_frequencies_of_the_data(jittor):
    from ganzoo.metrics.comparison import generator_comparisons
    from tests.support.shades import Shades

    class Uneven(Shades):
        def attributes(self):
            return np.float32([[200, 1]] * 60 + [[100, 2]] * 40)

    dataset = Uneven(count=100)
    (comparison,) = generator_comparisons(AttributeGenerator(), dataset, dataset.info, 1000)
    shown = numbers(comparison.generated)
    assert {*shown} == {100, 200}
    assert abs(shown.count(200) / 1000 - 0.6) < 0.05
    assert shown == numbers(comparison.generated)


def test_attributes_that_are_not_those_of_the_data_are_an_error(jittor):
    from ganzoo.metrics.comparison import generator_comparisons
    from tests.support.shades import Shades

    data = Shades().info
    with pytest.raises(DataError, match=r"its attributes \(hue, age\) differ from the model's \(bright, age\)"):
        generator_comparisons(AttributeGenerator(), Shades(("hue", "age")), data, 20)


def test_translations_without_styles_are_compared_in_each_direction(jittor):
    from ganzoo import DirectTranslator
    from ganzoo.metrics.comparison import modes_of, translator_comparisons

    class Brighter(DirectTranslator):
        directions = ((0, 1), (2, 0))

        def translate(self, images, direction):
            return images + direction[1] / 127.5

    dataset = NumberedDataset(30)
    found = translator_comparisons(Brighter(), dataset, dataset.info, 5)
    assert [(each.mode, each.source, each.target) for each in found] == [("direct", "a", "b"), ("direct", "c", "a")]
    assert modes_of(Brighter()) == ("direct",)
    sources = numbers(found[0].generated.sources)
    assert len(sources) == 5
    assert numbers(found[0].generated) == [number + 1 for number in sources]
    assert set(numbers(found[1].real)) <= set(range(0, 30, 3))
