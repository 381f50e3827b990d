"""Everything that decides a training run, and the recipes to start from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

# What differs from the defaults below. "mesh": refinement of the closed-form prior. "paper": GANonymization as published (least squares
# GAN + 100 L1, Adam 2e-4 with betas 0.5 and 0.999, no averaged weights).
PRESETS: dict[str, dict[str, Any]] = {
    "mesh": {},
    "paper": {
        "adversarial_loss": "lsgan",
        "l1_weight": 100.0,
        "feature_matching_weight": 0.0,
        "adversarial_start": 0,
        "learning_rate": 2e-4,
        "discriminator_learning_rate": 2e-4,
        "lr_scheduler": "constant",
        "lr_warmup_steps": 0,
        "ema_decay": 0.0,
        "max_grad_norm": 0.0,
    },
}


def _help(text: str) -> dict[str, str]:
    return {"help": text}


@dataclass(frozen=True)
class TrainingOptions:
    """Options of ``scripts/train.py``; names are those of the training scripts of diffusers where these have one."""

    train_data_dir: str = field(metadata=_help("folder written by scripts/prepare_dataset.py"))
    output_dir: str = field(metadata=_help("where checkpoints, logs and the finished model go"))
    preset: str = field(default="mesh", metadata=_help("recipe whose values the other options start from: mesh or paper"))
    pretrained_model_name_or_path: str | None = field(
        default=None,
        metadata=_help("model to start from: folder or Hub repository; default: the bundled one (mesh), random weights (paper)"),
    )
    refinement_channels: int = field(default=32, metadata=_help("width of a new refinement network, where the model has none yet (mesh)"))
    train_prior: bool = field(default=False, metadata=_help("train the appearance prior's maps, too (mesh)"))
    num_appearance: int | None = field(default=None, metadata=_help("use only so many of a picture's appearance coefficients (mesh)"))
    use_grayscale: bool = field(default=True, metadata=_help("train on grayscale pictures, too"))
    max_train_samples: int | None = field(default=None, metadata=_help("use only the first so many faces"))
    patch_size: int = field(default=128, metadata=_help("side of the patches that a step sees (mesh); a multiple of 8"))
    train_batch_size: int = field(default=8, metadata=_help("faces per device and step"))
    gradient_accumulation_steps: int = field(default=1, metadata=_help("batches per update"))
    max_train_steps: int = field(default=20_000, metadata=_help("updates"))
    time_budget_minutes: float | None = field(default=None, metadata=_help("stop cleanly after so long; saved and resumable"))
    learning_rate: float = field(default=4e-4, metadata=_help("of the generator"))
    discriminator_learning_rate: float = field(default=4e-4, metadata=_help("of the discriminator"))
    lr_scheduler: str = field(default="cosine", metadata=_help("a name that diffusers.optimization.get_scheduler knows"))
    lr_warmup_steps: int = field(default=100, metadata=_help("updates over which the rates rise"))
    adam_beta1: float = field(default=0.5, metadata=_help("first moment of both Adam optimizers"))
    adam_beta2: float = field(default=0.999, metadata=_help("second moment"))
    max_grad_norm: float = field(default=1.0, metadata=_help("gradients are clipped to this norm; 0 leaves them"))
    adversarial_loss: str = field(default="hinge", metadata=_help("hinge or lsgan"))
    adversarial_weight: float = field(default=1.0, metadata=_help("0 trains without a discriminator"))
    adversarial_start: int = field(default=200, metadata=_help("updates before the discriminator joins"))
    feature_matching_weight: float = field(default=10.0, metadata=_help("of the discriminator's features"))
    l1_weight: float = field(default=10.0, metadata=_help("of the pixels"))
    discriminator_channels: int = field(default=32, metadata=_help("width of its first layer (mesh)"))
    ema_decay: float = field(default=0.999, metadata=_help("of the averaged weights that are saved; 0 saves the last ones"))
    mixed_precision: str = field(default="no", metadata=_help("no, bf16 or fp16"))
    seed: int = field(default=0, metadata=_help("of weights, order, patches"))
    checkpointing_steps: int = field(default=500, metadata=_help("a resumable state is saved every so many updates"))
    checkpoints_total_limit: int = field(default=2, metadata=_help("older states are deleted"))
    resume_from_checkpoint: str | None = field(default=None, metadata=_help("folder of a saved state, or 'latest'"))
    validation_steps: int = field(default=500, metadata=_help("held-out errors and pictures every so many updates"))
    logging_steps: int = field(default=10, metadata=_help("losses go to the tracker every so many updates"))
    push_to_hub: bool = field(default=False, metadata=_help("upload the finished model"))
    hub_model_id: str | None = field(default=None, metadata=_help("repository for --push_to_hub, as user/name"))

    def __post_init__(self) -> None:
        choices = {"preset": tuple(PRESETS), "adversarial_loss": ("hinge", "lsgan"), "mixed_precision": ("no", "bf16", "fp16")}
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}, but got {getattr(self, name)!r}.")
        counts = "train_batch_size gradient_accumulation_steps max_train_steps checkpointing_steps checkpoints_total_limit"
        for name in f"{counts} validation_steps logging_steps discriminator_channels refinement_channels".split():
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, but got {getattr(self, name)}.")
        for name in "learning_rate discriminator_learning_rate".split():
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, but got {getattr(self, name)}.")
        not_negative = "l1_weight adversarial_weight feature_matching_weight max_grad_norm adversarial_start lr_warmup_steps seed"
        for name in not_negative.split():
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must not be negative, but got {getattr(self, name)}.")
        for name in "adam_beta1 adam_beta2 ema_decay".split():
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be in 0..1 (1 excluded), but got {getattr(self, name)}.")
        for name in "time_budget_minutes max_train_samples".split():
            if getattr(self, name) is not None and not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, but got {getattr(self, name)}.")
        if self.num_appearance is not None and self.num_appearance < 0:
            raise ValueError(f"num_appearance must not be negative, but got {self.num_appearance}.")
        if self.patch_size < 16 or self.patch_size % 8:
            raise ValueError(f"patch_size must be a multiple of 8 and at least 16, but got {self.patch_size}.")
        if self.push_to_hub and not self.hub_model_id:
            raise ValueError("push_to_hub needs hub_model_id, the repository as user/name.")
