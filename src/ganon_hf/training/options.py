"""The options of a training run, and the presets they start from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

# Values of the presets that differ from the defaults below. "mesh" refines the closed-form prior; "paper" is GANonymization as published
# (least squares GAN + 100 L1, Adam 2e-4 with betas 0.5 and 0.999, no averaged weights).
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


def require_positive(options: object, *names: str) -> None:
    """Raise ValueError unless these attributes are above 0."""
    for name in names:
        if not getattr(options, name) > 0:
            raise ValueError(f"{name} must be positive, but got {getattr(options, name)!r}.")


def require_noise_range(noise: tuple[float, float]) -> None:
    """Raise ValueError unless the noise of an expression code is a range of positive standard deviations."""
    if not 0 < noise[0] <= noise[1]:
        raise ValueError(f"noise must be (lowest, highest) with 0 < lowest <= highest, but got {noise!r}.")


@dataclass(frozen=True)
class TrainingOptions:
    """Options of ``scripts/train.py``, named as in the training scripts of diffusers where these have the same option.

    The help text of each field is in its metadata.

    Raises:
        ValueError: a value is out of range.
    """

    train_data_dir: str = field(metadata=_help("folder written by scripts/prepare_dataset.py"))
    output_dir: str = field(metadata=_help("folder for checkpoints, logs and the trained model"))
    preset: str = field(default="mesh", metadata=_help("default values of the other options: mesh or paper"))
    pretrained_model_name_or_path: str | None = field(
        default=None,
        metadata=_help("model to start from, a folder or Hub repository; default: the bundled model (mesh) or random weights (paper)"),
    )
    refinement_channels: int = field(
        default=32, metadata=_help("channels of a new refinement network, used if the model has none yet (mesh)")
    )
    train_prior: bool = field(default=False, metadata=_help("also train the maps of the appearance prior (mesh)"))
    num_appearance: int | None = field(
        default=None, metadata=_help("use only the first N appearance coefficients of each picture (mesh); default: all")
    )
    use_grayscale: bool = field(default=True, metadata=_help("also train on grayscale pictures"))
    max_train_samples: int | None = field(default=None, metadata=_help("use only the first N faces of each split; default: all"))
    patch_size: int = field(default=128, metadata=_help("side of the training patches in pixels, a multiple of 8 (mesh)"))
    train_batch_size: int = field(default=8, metadata=_help("faces per device and batch"))
    gradient_accumulation_steps: int = field(default=1, metadata=_help("batches per update of the weights"))
    max_train_steps: int = field(default=20_000, metadata=_help("number of updates"))
    time_budget_minutes: float | None = field(
        default=None, metadata=_help("save a checkpoint and stop after this many minutes; default: no limit")
    )
    learning_rate: float = field(default=4e-4, metadata=_help("learning rate of the generator"))
    discriminator_learning_rate: float = field(default=4e-4, metadata=_help("learning rate of the discriminator"))
    lr_scheduler: str = field(
        default="cosine", metadata=_help("learning rate schedule, a name known to diffusers.optimization.get_scheduler")
    )
    lr_warmup_steps: int = field(default=100, metadata=_help("updates over which the learning rates rise"))
    adam_beta1: float = field(default=0.5, metadata=_help("beta1 of both Adam optimizers"))
    adam_beta2: float = field(default=0.999, metadata=_help("beta2 of both Adam optimizers"))
    max_grad_norm: float = field(default=1.0, metadata=_help("gradients are clipped to this norm; 0 turns clipping off"))
    adversarial_loss: str = field(default="hinge", metadata=_help("adversarial loss: hinge or lsgan"))
    adversarial_weight: float = field(default=1.0, metadata=_help("weight of the adversarial loss; 0 trains without a discriminator"))
    adversarial_start: int = field(default=200, metadata=_help("number of updates without a discriminator at the start"))
    feature_matching_weight: float = field(default=10.0, metadata=_help("weight of the feature matching loss; 0 turns it off"))
    l1_weight: float = field(default=10.0, metadata=_help("weight of the mean absolute error of the pixels"))
    discriminator_channels: int = field(default=32, metadata=_help("channels of the discriminator's first layer (mesh)"))
    ema_decay: float = field(
        default=0.999, metadata=_help("decay of the averaged weights, which are the ones saved; 0 saves the last weights instead")
    )
    mixed_precision: str = field(default="no", metadata=_help("mixed precision: no, bf16 or fp16"))
    seed: int = field(default=0, metadata=_help("seed of initial weights, order of the faces and choice of patches"))
    checkpointing_steps: int = field(default=500, metadata=_help("save a resumable checkpoint every N updates"))
    checkpoints_total_limit: int = field(default=2, metadata=_help("number of checkpoints to keep; older ones are deleted"))
    resume_from_checkpoint: str | None = field(default=None, metadata=_help("folder of a checkpoint, or 'latest'"))
    validation_steps: int = field(default=500, metadata=_help("log errors and samples on held-out faces every N updates"))
    logging_steps: int = field(default=10, metadata=_help("log the losses of the first update, and every N updates"))
    push_to_hub: bool = field(default=False, metadata=_help("upload the trained model to the Hub"))
    hub_model_id: str | None = field(default=None, metadata=_help("repository to upload to, as user/name"))

    def __post_init__(self) -> None:
        choices = {"preset": tuple(PRESETS), "adversarial_loss": ("hinge", "lsgan"), "mixed_precision": ("no", "bf16", "fp16")}
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}, but got {getattr(self, name)!r}.")
        counts = "train_batch_size gradient_accumulation_steps max_train_steps checkpointing_steps checkpoints_total_limit"
        for name in f"{counts} validation_steps logging_steps discriminator_channels refinement_channels".split():
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, but got {getattr(self, name)}.")
        require_positive(self, "learning_rate", "discriminator_learning_rate")
        not_negative = "l1_weight adversarial_weight feature_matching_weight max_grad_norm adversarial_start lr_warmup_steps seed"
        for name in not_negative.split():
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must not be negative, but got {getattr(self, name)}.")
        for name in "adam_beta1 adam_beta2 ema_decay".split():
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be in [0, 1), but got {getattr(self, name)}.")
        limits = (name for name in ("time_budget_minutes", "max_train_samples") if getattr(self, name) is not None)
        require_positive(self, *limits)
        if self.num_appearance is not None and self.num_appearance < 0:
            raise ValueError(f"num_appearance must not be negative, but got {self.num_appearance}.")
        if self.patch_size < 16 or self.patch_size % 8:
            raise ValueError(f"patch_size must be a multiple of 8 and at least 16, but got {self.patch_size}.")
        if self.push_to_hub and not self.hub_model_id:
            raise ValueError("push_to_hub needs hub_model_id: give the repository as user/name.")
