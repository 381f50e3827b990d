"""The training loop of the mesh generator and of the paper's landmark generator, built on Accelerate."""

from __future__ import annotations

import logging
import signal
import time
import zlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import ProjectConfiguration, set_seed
from diffusers.optimization import get_scheduler
from diffusers.training_utils import EMAModel
from huggingface_hub import create_repo, upload_folder
from PIL import Image
from torch.nn.utils import clip_grad_norm_
from tqdm import tqdm

from ..core.model_loading import load_model
from ..core.modeling_ganon import GanonConfig, GanonModel
from ..core.task import CHECKPOINT
from ..image_files import save_image
from .checkpoints import load_checkpoint, save_checkpoint, save_model
from .discriminator import build_discriminator
from .gpu_dataset import DotDataset, FaceBatch, MeshDataset
from .losses import GanLosses
from .options import TrainingOptions
from .shards import FaceShards, find_shards, read_shards
from .throughput import count_flops, matmul_rate
from .validation import validate

logger = logging.getLogger(__name__)


def check_crops(options: TrainingOptions, shards: FaceShards) -> None:
    """Raise ValueError unless the faces are cropped as the preset's generator sees them in photos."""
    problems = []
    if options.preset == "paper" and shards.image_size % 256:
        problems.append(
            f"crops whose side is a multiple of 256 pixels, not {shards.image_size}"
        )  # the network halves the resolution eight times
    if shards.tight != (options.preset == "paper"):
        problems.append("crops with a margin around the face" if shards.tight else "crops that the face fills")
    if problems:
        advice = "--tight --image-size 512" if options.preset == "paper" else "no --tight"
        raise ValueError(
            f"preset {options.preset!r} needs {' and '.join(problems)}, but {options.train_data_dir} holds others. "
            f"Prepare the pictures with scripts/prepare_dataset.py and {advice}."
        )


def _new_landmark_model(image_size: int) -> GanonModel:
    """The published generator with random weights. The statistics of synthetic identities are those of the bundled checkpoint."""
    bundled = load_model(str(CHECKPOINT))
    changes = {"conditioning": "landmarks", "image_size": image_size, "refinement_channels": 0}
    model = GanonModel(GanonConfig.from_dict({**bundled.config.to_dict(), **changes}))
    model.geometry.load_state_dict(bundled.geometry.state_dict())
    return model


def build_model(options: TrainingOptions, image_size: int) -> GanonModel:
    """The model that training starts from, set to crops of ``image_size`` pixels.

    Raises:
        ValueError: the given model has another conditioning than the preset trains.
    """
    conditioning = "landmarks" if options.preset == "paper" else "mesh"
    source = options.pretrained_model_name_or_path
    if source is None and conditioning == "landmarks":
        return _new_landmark_model(image_size)
    source = str(CHECKPOINT if source is None else source)
    model = load_model(source)
    config = model.config
    if config.conditioning != conditioning:
        raise ValueError(f"preset {options.preset!r} trains conditioning={conditioning!r}, but {source} has {config.conditioning!r}.")
    # Canonical coordinates and convolutions do not depend on the resolution: training may continue at another size.
    config.image_size = image_size
    if conditioning == "mesh" and not config.refinement_channels:
        config.refinement_channels = options.refinement_channels
        grown = GanonModel(config)  # type: ignore[arg-type]
        grown.load_state_dict(model.state_dict(), strict=False)
        model = grown
    if model.prior is not None:
        model.prior.requires_grad_(options.train_prior)
    return model


class Trainer:
    """A training run: data, models, optimizers, and the loop.

    Args:
        options: all options of the run.

    Raises:
        FileNotFoundError: there are no prepared faces.
        ValueError: faces, model and options do not fit together.
    """

    def __init__(self, options: TrainingOptions) -> None:
        self.options = options
        self.output_dir = Path(options.output_dir)
        self.accelerator = Accelerator(
            mixed_precision=options.mixed_precision,
            gradient_accumulation_steps=options.gradient_accumulation_steps,
            log_with="tensorboard",
            project_config=ProjectConfiguration(project_dir=str(self.output_dir), logging_dir=str(self.output_dir / "logs")),
        )
        set_seed(options.seed)
        train, validation = self._read_shards("train"), self._read_shards("validation")
        check_crops(options, train)
        model = build_model(options, train.image_size)
        self.criterion = GanLosses(options)
        self.train_dataset = self._build_dataset(model, train, "train")
        self.validation_dataset = self._build_dataset(model, validation, "validation")
        self.patch_size = train.image_size if options.preset == "paper" else min(options.patch_size, train.image_size)
        discriminator = build_discriminator(options)
        device = self.accelerator.device
        if device.type == "cuda":
            model.compile()
            discriminator.compile()
        else:
            # convolutions on a CPU are fastest in this format
            for network in (model, discriminator):
                network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        betas = (options.adam_beta1, options.adam_beta2)
        trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimizer = torch.optim.Adam(trainable, lr=options.learning_rate, betas=betas)
        discriminator_optimizer = torch.optim.Adam(discriminator.parameters(), lr=options.discriminator_learning_rate, betas=betas)
        rates = (options.learning_rate, options.discriminator_learning_rate)
        schedule = get_scheduler(
            options.lr_scheduler, optimizer, num_warmup_steps=options.lr_warmup_steps, num_training_steps=options.max_train_steps
        ).lr_lambdas[0]
        prepared = self.accelerator.prepare(model, discriminator, optimizer, discriminator_optimizer)
        self.model: Any
        self.model, self.discriminator, self.optimizer, self.discriminator_optimizer = prepared
        self.trainable = [parameter for parameter in self.unwrapped_model.parameters() if parameter.requires_grad]
        self.ema = EMAModel(self.trainable, decay=options.ema_decay, use_ema_warmup=False) if options.ema_decay else None
        # The learning rate depends on the step alone and is set from it, so checkpoints need no scheduler state.
        self._schedules = [(one, rate, schedule) for one, rate in zip((self.optimizer, self.discriminator_optimizer), rates, strict=True)]
        self.step = 0
        self._stop_reason = ""
        self._flops_per_step: int | None = None
        self._peak_flops = 0.0

    @property
    def unwrapped_model(self) -> GanonModel:
        """The model without Accelerate's wrappers."""
        return self.accelerator.unwrap_model(self.model)

    def _read_shards(self, split: str) -> FaceShards:
        shards = read_shards(find_shards(self.options.train_data_dir, split))
        rows = np.arange(len(shards))
        if not self.options.use_grayscale and split == "train":
            rows = rows[~shards.grayscale]
        if self.options.max_train_samples is not None:
            rows = rows[: self.options.max_train_samples]
        if not len(rows):
            raise ValueError(f"{self.options.train_data_dir} holds no {split} face in color, but use_grayscale is off.")
        return shards.take(rows)

    def _build_dataset(self, model: GanonModel, shards: FaceShards, split: str) -> MeshDataset | DotDataset:
        if model.prior is None:
            return DotDataset(shards, self.accelerator.device)
        cache = self.output_dir / "cache" / f"{split}-{shards.digest}-{weights_checksum(model.prior):08x}.npz"
        with self.accelerator.main_process_first():  # the other processes read the cache that it writes
            return MeshDataset(shards, model.prior, self.accelerator.device, cache=cache, num_appearance=self.options.num_appearance)

    def run(self) -> Path:
        """Train until the last step, the end of the time budget or a SIGTERM or SIGINT; returns the folder of the model.

        A run that stops early saves a checkpoint first. ``resume_from_checkpoint="latest"`` continues from it, with exactly the losses of
        an uninterrupted run.

        Raises:
            FileNotFoundError: there is no checkpoint to resume from.
            ValueError: the checkpoint was saved with another number of processes.
            FloatingPointError: the loss is no longer finite.
        """
        options, accelerator = self.options, self.accelerator
        start = time.monotonic()
        if options.resume_from_checkpoint:
            self._resume(options.resume_from_checkpoint)
        accelerator.init_trackers("ganon", config={k: v for k, v in asdict(options).items() if isinstance(v, int | float | str | bool)})
        handlers = {name: signal.signal(name, self._handle_signal) for name in (signal.SIGTERM, signal.SIGINT)}
        if not self.step:
            self.validate()  # the starting point
        self.model.train()
        self.discriminator.train()
        progress = tqdm(
            total=options.max_train_steps, initial=self.step, unit="step", disable=not accelerator.is_local_main_process, smoothing=0.05
        )
        try:
            while self.step < options.max_train_steps:
                step_start = time.perf_counter()
                losses = self.update()
                self.step += 1
                faces = options.train_batch_size * options.gradient_accumulation_steps * accelerator.num_processes
                self._log_step(losses, faces / (time.perf_counter() - step_start), progress)
                if self.step % options.validation_steps == 0:
                    self.validate()
                if options.time_budget_minutes is not None and time.monotonic() - start > options.time_budget_minutes * 60:
                    self._stop_reason = self._stop_reason or "the time budget is used up"
                stop_reason = self._gather_stop_reason()
                if self.step % options.checkpointing_steps == 0 or stop_reason or self.step == options.max_train_steps:
                    self.save()
                if stop_reason:
                    logger.info("Stopped after step %d: %s.", self.step, stop_reason)
                    break
        finally:
            progress.close()
            for name, handler in handlers.items():
                signal.signal(name, handler)
        if accelerator.is_main_process:
            save_model(self._ema_model(), self.output_dir)
            if options.push_to_hub:
                self._push_to_hub()
        accelerator.wait_for_everyone()
        accelerator.end_training()
        return self.output_dir

    def update(self) -> dict[str, Any]:
        """Update both networks once; returns the losses of the last batch."""
        losses: dict[str, Any] = {}
        for optimizer, rate, schedule in self._schedules:
            for group in optimizer.param_groups:
                group["lr"] = rate * schedule(self.step)
        for micro in range(self.options.gradient_accumulation_steps):
            batch = self._batch(self.step * self.options.gradient_accumulation_steps + micro)
            with self.accelerator.accumulate(self.model, self.discriminator):
                if self._flops_per_step is None:
                    self._measure_flops(batch)
                losses = self._training_step(batch)
        return losses

    def _training_step(self, batch: FaceBatch) -> dict[str, Any]:
        """Forward and backward passes for one batch; the optimizers step when gradients of enough batches are accumulated."""
        options, accelerator = self.options, self.accelerator
        adversarial = options.adversarial_weight > 0 and self.step >= options.adversarial_start
        with accelerator.autocast():
            images = self.model(**batch.inputs).images
        losses: dict[str, Any] = {}
        real = None
        if adversarial:
            self.discriminator.requires_grad_(True)
            with accelerator.autocast():
                loss, real = self.criterion.discriminator_loss(self.discriminator, images, batch)
            accelerator.backward(loss)
            self._step_optimizer(self.discriminator_optimizer, self.discriminator.parameters())
            losses["discriminator"] = loss.detach()
            self.discriminator.requires_grad_(False)
        # unwrapped, because DDP expects one backward pass per forward pass of the wrapped module
        discriminator = accelerator.unwrap_model(self.discriminator) if adversarial else None
        with accelerator.autocast():
            loss, terms = self.criterion.generator_loss(images, batch, discriminator, real)
        accelerator.backward(loss)
        self._step_optimizer(self.optimizer, self.trainable)
        if accelerator.sync_gradients and self.ema is not None:
            self.ema.step(self.trainable)
        return {**losses, **terms, "loss": loss.detach()}

    def _step_optimizer(self, optimizer: torch.optim.Optimizer, parameters: Any) -> None:
        if self.accelerator.sync_gradients and self.options.max_grad_norm:
            if self.accelerator.scaler is not None:
                self.accelerator.unscale_gradients(optimizer)
            clip_grad_norm_(parameters, self.options.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad()

    def _batch(self, number: int) -> FaceBatch:
        """This process's share of batch ``number`` of the run. It depends only on the seed and the number, so a run can be resumed."""
        accelerator, size = self.accelerator, self.options.train_batch_size
        total_size, count = size * accelerator.num_processes, len(self.train_dataset)
        first = number * total_size
        rows = []
        for epoch in range(first // count, (first + total_size - 1) // count + 1):
            order = np.random.default_rng([self.options.seed, 1, epoch]).permutation(count)
            begin = epoch * count
            rows.append(order[max(0, first - begin) : first + total_size - begin])
        draws = np.random.default_rng([self.options.seed, 2, number]).random((total_size, 3))
        share = slice(accelerator.process_index * size, (accelerator.process_index + 1) * size)
        return self.train_dataset.batch(np.concatenate(rows)[share], self.patch_size, draws[share])

    def _measure_flops(self, batch: FaceBatch) -> None:
        """Count the floating point operations of a step and measure the device, once per run."""
        precision = {"no": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[self.options.mixed_precision]
        model, device = self.unwrapped_model, self.accelerator.device
        # a resumed run measures again, which must not change what dropout draws
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            self._peak_flops = matmul_rate(device, precision)
            generator_flops = count_flops(lambda: model.forward(**batch.inputs))  # type: ignore[arg-type]  # not the compiled one
        # A backward pass costs two forward passes. In a step the discriminator sees real and generated pictures, then the generated again.
        discriminator = self.accelerator.unwrap_model(self.discriminator)
        discriminator_flops = count_flops(lambda: discriminator.eval().forward(*self.criterion.discriminator_inputs(batch.target, batch)))
        discriminator.train()
        self._flops_per_step = 3 * generator_flops + (3 * 2 + 3) * discriminator_flops * bool(self.options.adversarial_weight)

    def _log_step(self, losses: dict[str, Any], speed: float, progress: tqdm) -> None:
        flops_per_face = (self._flops_per_step or 0) / self.options.train_batch_size
        share = speed / self.accelerator.num_processes * flops_per_face / self._peak_flops if self._peak_flops else 0.0
        progress.update(1)
        progress.set_postfix({"images/s": f"{speed:.1f}", "of peak": f"{share:.0%}"}, refresh=False)
        if self.step == 1 or self.step % self.options.logging_steps == 0:
            means = self.accelerator.reduce(torch.stack([value.float() for value in losses.values()]), "mean")
            values = {f"train/{name}": value for name, value in zip(losses, means.tolist(), strict=True)}
            values.update({"lr": self.optimizer.param_groups[0]["lr"], "images_per_second": speed, "share_of_peak": share})
            if not np.isfinite(values["train/loss"]):
                raise FloatingPointError(
                    f"the loss is {values['train/loss']} at step {self.step}. Lower the learning rate and resume from a checkpoint."
                )
            self.accelerator.log(values, step=self.step)

    def validate(self) -> dict[str, float]:
        """Log errors and samples of the averaged model on held-out faces; the samples also go to ``samples/``.

        Returns:
            the errors by name; empty in all but the main process.
        """
        if not self.accelerator.is_main_process:
            return {}
        errors, grid = validate(self._ema_model(), self.validation_dataset, self.patch_size)
        folder = self.output_dir / "samples"
        folder.mkdir(parents=True, exist_ok=True)
        save_image(Image.fromarray(grid), folder / f"step-{self.step:06d}.png")
        self.accelerator.log({f"validation/{name}": value for name, value in errors.items()}, step=self.step)
        self.accelerator.get_tracker("tensorboard").writer.add_image("validation", grid, self.step, dataformats="HWC")
        logger.info("step %d: %s", self.step, ", ".join(f"{name} {value:.3f}" for name, value in errors.items()))
        return errors

    def save(self) -> None:
        """Save a resumable checkpoint."""
        ema_model = self._ema_model() if self.accelerator.is_main_process else None
        save_checkpoint(self.accelerator, ema_model, self.output_dir, self.step, self.options.checkpoints_total_limit)

    def _resume(self, which: str) -> None:
        self.step, folder = load_checkpoint(self.accelerator, self.output_dir, which)
        if self.ema is not None:
            values = dict(GanonModel.from_pretrained(folder / "model").named_parameters())
            names = [name for name, parameter in self.unwrapped_model.named_parameters() if parameter.requires_grad]
            self.ema.shadow_params = [values[name].detach().clone().to(self.accelerator.device) for name in names]
            self.ema.optimization_step = self.step
        logger.info("Resuming from %s.", folder)

    def _ema_model(self) -> GanonModel:
        """A copy of the model with the averaged weights, or with the current ones where ``ema_decay`` is 0."""
        model = self.unwrapped_model
        with torch.random.fork_rng(devices=[]):  # saving must not change what dropout draws afterwards
            copy = GanonModel(model.config)  # type: ignore[arg-type]
        copy.load_state_dict({name: value.detach().clone() for name, value in model.state_dict().items()})
        copy.to(self.accelerator.device).train(model.training)
        if self.ema is not None:
            names = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
            parameters = dict(copy.named_parameters())
            self.ema.copy_to([parameters[name] for name in names])
        return copy

    def _handle_signal(self, number: int, frame: object) -> None:
        self._stop_reason = f"signal {signal.Signals(number).name}"

    def _gather_stop_reason(self) -> str:
        """Why the run stops after this step, empty if it does not; the same in every process."""
        if self.accelerator.num_processes == 1:
            return self._stop_reason
        gathered: list[Any] = [None] * self.accelerator.num_processes
        torch.distributed.all_gather_object(gathered, self._stop_reason)
        return next((reason for reason in gathered if reason), "")

    def _push_to_hub(self) -> None:
        repository = create_repo(self.options.hub_model_id, exist_ok=True).repo_id  # type: ignore[arg-type]  # the options demand it
        # only the model: samples show real people, and checkpoints hold optimizer states
        upload_folder(
            repo_id=repository,
            folder_path=str(self.output_dir),
            allow_patterns=["config.json", "preprocessor_config.json", "*.safetensors", "*.safetensors.index.json"],
            ignore_patterns=["*/*"],  # on the Hub * also matches slashes
            commit_message=f"{self.step} steps",
        )


def weights_checksum(module: torch.nn.Module) -> int:
    """CRC-32 of all weights and buffers."""
    value = 0
    for tensor in module.state_dict().values():
        value = zlib.crc32(tensor.detach().cpu().contiguous().numpy().tobytes(), value)
    return value
