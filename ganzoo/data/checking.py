"""Checking a data set: read every image and report what was found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from ganzoo.data.attributes import read_attributes
from ganzoo.data.labelling import describe_labels
from ganzoo.data.order import describe_pairs
from ganzoo.errors import DataError, format_count
from ganzoo.interfaces.dataset import COLOURS, DataInfo, Dataset
from ganzoo.progress_bars import progress_bar


@dataclass
class Report:
    """Counts of images by size (width, height) and by domain and of those with transparency, the range of each
    attribute, and a message for every unreadable image."""

    info: DataInfo
    count: int
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    domains: Counter[str] = field(default_factory=Counter)
    transparent: int = 0
    attributes: dict[str, tuple[float, float]] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)
    notes: Sequence[str] = ()

    def lines(self) -> Iterator[str]:
        readable = format_count(self.count - len(self.unreadable), "readable image")
        yield f"{self.info.name}: {readable} of {self.count:,}, {COLOURS[self.info.channels]}"
        yield from (f"    {note}" for note in self.notes)
        for (width, height), count in self.sizes.most_common(10):
            yield f"    {width} x {height} px: {count:,}"
        if len(self.sizes) > 10:
            yield f"    and {format_count(len(self.sizes) - 10, 'other size')}"
        if oblong := sum(count for (width, height), count in self.sizes.items() if width != height):
            yield f"    not square: {oblong:,}; --fit crop (the default) cuts them, pad adds white, stretch distorts"
        if self.transparent:
            drawn = "" if self.info.channels == 4 else ", which is drawn over white; --alpha keeps it"
            yield f"    {format_count(self.transparent, 'image')} with transparency{drawn}"
        for domain in self.info.domains:
            count = self.domains[domain]
            yield f"    domain {domain}: {f'{count:,}' if count else 'no images'}"
        for name, (low, high) in self.attributes.items():
            yield f"    attribute {name}: {low:g} to {high:g}"
        mirrored = "mirrored during training"
        yield f"    {mirrored}" if self.info.flip else f"    not {mirrored} (use --flip to enable)"
        for message in self.unreadable:
            yield f"    {message}"


def check_dataset(dataset: Dataset, workers: int = 4) -> Report:
    """Read every image, in `workers` threads, and show a progress bar. DataError if the attributes are invalid."""
    kind = f"format: {dataset.format}" if dataset.format else ""
    notes = [kind, *dataset.notes, describe_labels(dataset), describe_pairs(dataset), dataset.ignored_files]
    report = Report(dataset.info, len(dataset), notes=[note for note in notes if note])
    attributes = read_attributes(dataset)
    if attributes is not None and len(dataset):
        report.attributes = dict(zip(dataset.info.attributes, zip(attributes.min(0), attributes.max(0))))

    with_alpha = dataset.with_alpha() if dataset.has_alpha else dataset

    def read(index: int) -> tuple[tuple[int, int], int, bool] | str:
        try:
            image, label = with_alpha.load(index)
        except DataError as error:
            return str(error)
        transparent = image.shape[2] == 4 and bool((image[:, :, 3] < 255).any())
        return (image.shape[1], image.shape[0]), label, transparent

    pool = ThreadPoolExecutor(workers)
    try:
        results = pool.map(read, range(len(dataset)))
        for result in progress_bar(
            results, total=len(dataset), unit="img", desc="reading", leave=False, disable=None, delay=1
        ):
            if isinstance(result, str):
                report.unreadable.append(result)
                continue
            size, label, transparent = result
            report.sizes[size] += 1
            report.transparent += transparent
            if dataset.info.domains:
                report.domains[dataset.info.domains[label]] += 1
    finally:
        pool.shutdown(cancel_futures=True)  # Ctrl-C must not wait for the remaining images
    return report
