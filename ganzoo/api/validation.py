"""The validation images of the data that a run was trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ganzoo.data.catalog import is_ready, open_data, training_data_of
from ganzoo.data.fitted import with_fit
from ganzoo.errors import GanzooError

if TYPE_CHECKING:
    from ganzoo.checkpoints.checkpoint import Checkpoint
    from ganzoo.interfaces.dataset import Dataset
    from ganzoo.registry.plugins import Registry


def validation_images(saved: Checkpoint, registry: Registry) -> Dataset | None:
    """Return the validation images of a checkpoint's data, the training images if none are reserved, or None if they
    are not on this machine or have other domains by now."""
    data = saved.data
    if data.count == 0:  # an imported checkpoint, which names the model's default data
        return None
    try:
        name = training_data_of(saved.run.data_name, saved.run.data_path, registry)
        source = registry.datasets.get(name)
        if source is not None and not is_ready(source):  # opening it would prepare or download it
            return None
        dataset = open_data(name, registry, labels=saved.run.labels)
        if data.channels == 4 and dataset.has_alpha:
            dataset = dataset.with_alpha()
        dataset = with_fit(dataset, data.fit, "--data")
        found = dataset.validation() or dataset
    except GanzooError:
        return None
    return found if tuple(found.info.domains) == data.domains else None
