"""Options of the training run and its presets."""

from __future__ import annotations

import pytest

from ganon_hf.training.options import PRESETS, TrainingOptions


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"preset": "large"}, "mesh, paper"),
        ({"adversarial_loss": "wgan"}, "hinge, lsgan"),
        ({"mixed_precision": "int8"}, "bf16"),
        ({"train_batch_size": 0}, "train_batch_size must be at least 1"),
        ({"learning_rate": 0.0}, "learning_rate must be positive"),
        ({"learning_rate": float("nan")}, "learning_rate must be positive"),
        ({"l1_weight": -1.0}, "l1_weight must not be negative"),
        ({"ema_decay": 1.0}, r"ema_decay must be in \[0, 1\)"),
        ({"time_budget_minutes": 0.0}, "time_budget_minutes must be positive"),
        ({"num_appearance": -1}, "num_appearance"),
        ({"patch_size": 100}, "multiple of 8"),
        ({"push_to_hub": True}, "hub_model_id"),
    ],
)
def test_options_check_themselves(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainingOptions("data", "out", **change)  # type: ignore[arg-type]


def test_the_papers_preset_is_the_papers_recipe() -> None:
    options = TrainingOptions("data", "out", **{"preset": "paper", **PRESETS["paper"]})
    assert (options.adversarial_loss, options.l1_weight, options.adversarial_weight) == ("lsgan", 100.0, 1.0)
    assert (options.learning_rate, options.discriminator_learning_rate) == (2e-4, 2e-4)
    assert (options.adam_beta1, options.adam_beta2, options.lr_scheduler) == (0.5, 0.999, "constant")
