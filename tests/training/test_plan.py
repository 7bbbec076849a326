from __future__ import annotations

from typing import Any

from ganzoo_stylegan import StyleGAN

from ganzoo.interfaces.options import resolve
from ganzoo.interfaces.train_options import TrainOptions
from ganzoo.registry import plugins
from ganzoo.training.plan import make_plan


class Counted(StyleGAN):
    calls = 0

    def stages(self, *arguments: Any) -> Any:
        self.calls += 1
        return super().stages(*arguments)


def test_the_stages_of_a_run_are_computed_once(jittor, pictures):
    model = Counted()
    train = resolve(TrainOptions, {"data": str(pictures), "device": "cpu"}, model.defaults)
    tiny = {"max_size": 16, "latent": 2, "mapping_layers": 1, "channels_base": 16, "channels_max": 2}
    plan = make_plan(model, train, resolve(model.options, tiny), plugins.load())
    assert plan.initial_state().schedule is plan.with_next_seed().initial_state().schedule is plan.schedule
    assert [stage.size for stage in plan.schedule.stages][-1] == 16
    assert model.calls == 1
