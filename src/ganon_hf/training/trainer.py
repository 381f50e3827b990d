"""The training loop of both generators, on Accelerate."""

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
from .checkpoints import load_state, save_model, save_state
from .gpu_dataset import DotsBank, FaceBatch, MeshBank
from .options import TrainingOptions
from .shards import FaceShards, find_shards, read_shards
from .throughput import count_operations, matmul_rate
from .training_step import Objective, build_discriminator
from .validation import validate

logger = logging.getLogger(__name__)


def check_faces(options: TrainingOptions, shards: FaceShards) -> None:
    """Raise ValueError if the faces are not cut as the preset's generator will see them in photos."""
    problems = []
    if options.preset == "paper" and shards.image_size % 256:
        problems.append(f"crops whose side is a multiple of 256 pixels, not {shards.image_size}")  # the network halves them eight times
    if shards.tight != (options.preset == "paper"):
        problems.append("crops with a margin around the face" if shards.tight else "crops that the face fills")
    if problems:
        advice = "--tight --image-size 512" if options.preset == "paper" else "no --tight"
        raise ValueError(
            f"preset {options.preset!r} needs {' and '.join(problems)}, but {options.train_data_dir} holds others: "
            f"prepare the pictures with scripts/prepare_dataset.py and {advice}."
        )


def _new_landmark_model(image_size: int) -> GanonModel:
    """The published generator with random weights. Synthetic identities are not trained with it: their statistics are the package's."""
    bundled = load_model(str(CHECKPOINT))
    changes = {"conditioning": "landmarks", "image_size": image_size, "refinement_channels": 0}
    model = GanonModel(GanonConfig.from_dict({**bundled.config.to_dict(), **changes}))
    model.geometry.load_state_dict(bundled.geometry.state_dict())
    return model


def build_model(options: TrainingOptions, image_size: int) -> GanonModel:
    """The model that training starts from.

    Raises:
        ValueError: a model of another kind, or for faces of another size.
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
    # Canonical coordinates know no pixels, and convolutions no sides: a generator may go on at another size.
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
    """A run: data, models, optimizers, and the loop over them.

    Args:
        options: everything that decides the run.

    Raises:
        FileNotFoundError: no prepared faces, or no state to resume from.
        ValueError: faces, model and options do not fit.
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
        train, held_out = self._read("train"), self._read("validation")
        check_faces(options, train)
        model = build_model(options, train.image_size)
        self.objective = Objective(options)
        self.bank, self.held_out = (self._bank(model, shards, name) for shards, name in ((train, "train"), (held_out, "validation")))
        self.patch = train.image_size if options.preset == "paper" else min(options.patch_size, train.image_size)
        discriminator = build_discriminator(options)
        device = self.accelerator.device
        if device.type == "cuda":
            model.compile()
            discriminator.compile()
        else:
            # channels last is what CPU convolutions are fastest in
            for network in (model, discriminator):
                network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        betas = (options.adam_beta1, options.adam_beta2)
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimizer = torch.optim.Adam(trained, lr=options.learning_rate, betas=betas)
        judges = torch.optim.Adam(discriminator.parameters(), lr=options.discriminator_learning_rate, betas=betas)
        rates = (options.learning_rate, options.discriminator_learning_rate)
        schedule = get_scheduler(
            options.lr_scheduler, optimizer, num_warmup_steps=options.lr_warmup_steps, num_training_steps=options.max_train_steps
        ).lr_lambdas[0]
        prepared = self.accelerator.prepare(model, discriminator, optimizer, judges)
        self.model: Any
        self.model, self.discriminator, self.optimizer, self.judges = prepared
        self.trained = [parameter for parameter in self.plain_model.parameters() if parameter.requires_grad]
        self.averaged = EMAModel(self.trained, decay=options.ema_decay, use_ema_warmup=False) if options.ema_decay else None
        # The rate is a function of the step alone: set, not counted, it needs no state to go on from.
        self._rates = [(one, rate, schedule) for one, rate in zip((self.optimizer, self.judges), rates, strict=True)]
        self.step = 0
        self._stop = ""
        self._operations: int | None = None
        self._rate = 0.0

    @property
    def plain_model(self) -> GanonModel:
        """The model without what Accelerate wraps around it."""
        return self.accelerator.unwrap_model(self.model)

    def _read(self, split: str) -> FaceShards:
        shards = read_shards(find_shards(self.options.train_data_dir, split))
        rows = np.arange(len(shards))
        if not self.options.use_grayscale and split == "train":
            rows = rows[~shards.grayscale]
        if self.options.max_train_samples is not None:
            rows = rows[: self.options.max_train_samples]
        if not len(rows):
            raise ValueError(f"no {split} face is left in {self.options.train_data_dir}.")
        return shards.take(rows)

    def _bank(self, model: GanonModel, shards: FaceShards, name: str) -> MeshBank | DotsBank:
        if model.prior is None:
            return DotsBank(shards, self.accelerator.device)
        prior = model.prior
        digest = f"{shards.digest}-{digest_of(prior):08x}"
        cache = self.output_dir / "cache" / f"{name}-{digest}.npz"
        with self.accelerator.main_process_first():  # the others find the cache
            return MeshBank(shards, prior, self.accelerator.device, cache=cache, num_appearance=self.options.num_appearance)

    def run(self) -> Path:
        """Train until the steps or the time are used up or the process is asked to end; returns the folder of the model.

        A run that ends early saves its state first; ``resume_from_checkpoint="latest"`` goes on from there, with the same losses as an
        undisturbed run would have had.
        """
        options, accelerator = self.options, self.accelerator
        start = time.monotonic()
        if options.resume_from_checkpoint:
            self._resume(options.resume_from_checkpoint)
        accelerator.init_trackers("ganon", config={k: v for k, v in asdict(options).items() if isinstance(v, int | float | str | bool)})
        handlers = {name: signal.signal(name, self._asked_to_end) for name in (signal.SIGTERM, signal.SIGINT)}
        if not self.step:
            self.look()  # what training starts from
        self.model.train()
        self.discriminator.train()
        progress = tqdm(
            total=options.max_train_steps, initial=self.step, unit="step", disable=not accelerator.is_local_main_process, smoothing=0.05
        )
        try:
            while self.step < options.max_train_steps:
                began = time.perf_counter()
                parts = self.update()
                self.step += 1
                faces = options.train_batch_size * options.gradient_accumulation_steps * accelerator.num_processes
                self._report(parts, faces / (time.perf_counter() - began), progress)
                if self.step % options.validation_steps == 0:
                    self.look()
                if options.time_budget_minutes is not None and time.monotonic() - start > options.time_budget_minutes * 60:
                    self._stop = self._stop or "the time is used up"
                ending = self._anyone_ends()
                if self.step % options.checkpointing_steps == 0 or ending or self.step == options.max_train_steps:
                    self.save()
                if ending:
                    logger.info("Stopped after step %d: %s.", self.step, ending)
                    break
        finally:
            progress.close()
            for name, handler in handlers.items():
                signal.signal(name, handler)
        if accelerator.is_main_process:
            save_model(self._averaged_model(), self.output_dir)
            if options.push_to_hub:
                self._push()
        accelerator.wait_for_everyone()
        accelerator.end_training()
        return self.output_dir

    def update(self) -> dict[str, Any]:
        """One update of both networks; returns the losses of its last batch."""
        parts: dict[str, Any] = {}
        for optimizer, rate, schedule in self._rates:
            for group in optimizer.param_groups:
                group["lr"] = rate * schedule(self.step)
        for micro in range(self.options.gradient_accumulation_steps):
            batch = self._batch(self.step * self.options.gradient_accumulation_steps + micro)
            with self.accelerator.accumulate(self.model, self.discriminator):
                if self._operations is None:
                    self._measure(batch)
                parts = self._learn(batch)
        return parts

    def _learn(self, batch: FaceBatch) -> dict[str, Any]:
        """Forward and backward passes for a batch; the optimizers step once enough batches have come together."""
        options, accelerator = self.options, self.accelerator
        adversarial = options.adversarial_weight > 0 and self.step >= options.adversarial_start
        with accelerator.autocast():
            images = self.model(**batch.inputs).images
        parts: dict[str, Any] = {}
        real = None
        if adversarial:
            self.discriminator.requires_grad_(True)
            with accelerator.autocast():
                loss, real = self.objective.of_discriminator(self.discriminator, images, batch)
            accelerator.backward(loss)
            self._apply(self.judges, self.discriminator.parameters())
            parts["discriminator"] = loss.detach()
            self.discriminator.requires_grad_(False)
        judge = accelerator.unwrap_model(self.discriminator) if adversarial else None
        with accelerator.autocast():
            loss, more = self.objective.generator_loss(images, batch, judge, real)
        accelerator.backward(loss)
        self._apply(self.optimizer, self.trained)
        if accelerator.sync_gradients and self.averaged is not None:
            self.averaged.step(self.trained)
        return {**parts, **more, "loss": loss.detach()}

    def _apply(self, optimizer: torch.optim.Optimizer, parameters: Any) -> None:
        if self.accelerator.sync_gradients and self.options.max_grad_norm:
            if self.accelerator.scaler is not None:
                self.accelerator.unscale_gradients(optimizer)
            clip_grad_norm_(parameters, self.options.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad()

    def _batch(self, number: int) -> FaceBatch:
        """This process's share of batch ``number`` of the run: it depends on the seed and the number alone, so that a run can go on."""
        accelerator, size = self.accelerator, self.options.train_batch_size
        together = size * accelerator.num_processes
        first = number * together
        rows = []
        for epoch in range(first // len(self.bank), (first + together - 1) // len(self.bank) + 1):
            order = np.random.default_rng([self.options.seed, 1, epoch]).permutation(len(self.bank))
            begin = epoch * len(self.bank)
            rows.append(order[max(0, first - begin) : first + together - begin])
        draws = np.random.default_rng([self.options.seed, 2, number]).random((together, 3))
        mine = slice(accelerator.process_index * size, (accelerator.process_index + 1) * size)
        return self.bank.batch(np.concatenate(rows)[mine], self.patch, draws[mine])

    def _measure(self, batch: FaceBatch) -> None:
        """Count a step's operations and measure the device, once."""
        precision = {"no": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[self.options.mixed_precision]
        plain, device = self.plain_model, self.accelerator.device
        # a run that goes on measures again: dropout must not notice
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            self._rate = matmul_rate(device, precision)
            forward = count_operations(lambda: plain.forward(**batch.inputs))  # type: ignore[arg-type]  # not the compiled one
        # A backward pass costs two forward passes. The judge sees real and generated pictures with both passes, the generated once more.
        judge = self.accelerator.unwrap_model(self.discriminator)
        judged = count_operations(lambda: judge.eval().forward(*self.objective.judged(batch.target, batch)))
        judge.train()
        self._operations = 3 * forward + (3 * 2 + 3) * judged * bool(self.options.adversarial_weight)

    def _report(self, parts: dict[str, Any], speed: float, progress: tqdm) -> None:
        operations = (self._operations or 0) / self.options.train_batch_size  # a face's
        share = speed / self.accelerator.num_processes * operations / self._rate if self._rate else 0.0
        progress.update(1)
        progress.set_postfix({"images/s": f"{speed:.1f}", "of peak": f"{share:.0%}"}, refresh=False)
        if self.step % self.options.logging_steps == 0:
            means = self.accelerator.reduce(torch.stack([value.float() for value in parts.values()]), "mean")
            values = {f"train/{name}": value for name, value in zip(parts, means.tolist(), strict=True)}
            values.update({"lr": self.optimizer.param_groups[0]["lr"], "images_per_second": speed, "share_of_peak": share})
            if not np.isfinite(values["train/loss"]):
                raise FloatingPointError(f"the loss is {values['train/loss']} at step {self.step}: lower the learning rate and resume.")
            self.accelerator.log(values, step=self.step)

    def look(self) -> dict[str, float]:
        """Held-out errors of the averaged model to the tracker, its pictures there and to ``samples/``."""
        if not self.accelerator.is_main_process:
            return {}
        errors, grid = validate(self._averaged_model(), self.held_out, self.patch)
        folder = self.output_dir / "samples"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(grid).save(folder / f"step-{self.step:06d}.png")
        self.accelerator.log({f"validation/{name}": value for name, value in errors.items()}, step=self.step)
        self.accelerator.get_tracker("tensorboard").writer.add_image("validation", grid, self.step, dataformats="HWC")
        logger.info("step %d: %s", self.step, ", ".join(f"{name} {value:.3f}" for name, value in errors.items()))
        return errors

    def save(self) -> None:
        """Save a resumable state."""
        averaged = self._averaged_model() if self.accelerator.is_main_process else None
        save_state(self.accelerator, averaged, self.output_dir, self.step, self.options.checkpoints_total_limit)

    def _resume(self, which: str) -> None:
        self.step, folder = load_state(self.accelerator, self.output_dir, which)
        if self.averaged is not None:
            values = dict(GanonModel.from_pretrained(folder / "model").named_parameters())
            names = [name for name, parameter in self.plain_model.named_parameters() if parameter.requires_grad]
            self.averaged.shadow_params = [values[name].detach().clone().to(self.accelerator.device) for name in names]
            self.averaged.optimization_step = self.step
        logger.info("Going on from %s.", folder)

    def _averaged_model(self) -> GanonModel:
        """A copy of the model with the averaged weights, if there are any, else with the last ones."""
        plain = self.plain_model
        with torch.random.fork_rng(devices=[]):  # when it is saved must not change what dropout draws afterwards
            copy = GanonModel(plain.config)  # type: ignore[arg-type]
        copy.load_state_dict({name: value.detach().clone() for name, value in plain.state_dict().items()})
        copy.to(self.accelerator.device).train(plain.training)
        if self.averaged is not None:
            names = [name for name, parameter in plain.named_parameters() if parameter.requires_grad]
            parameters = dict(copy.named_parameters())
            self.averaged.copy_to([parameters[name] for name in names])
        return copy

    def _asked_to_end(self, number: int, frame: object) -> None:
        self._stop = f"signal {signal.Signals(number).name}"

    def _anyone_ends(self) -> str:
        """Why the run ends now, empty if it goes on; the same answer in every process."""
        if self.accelerator.num_processes == 1:
            return self._stop
        reasons = [self._stop]
        gathered: list[Any] = [None] * self.accelerator.num_processes
        torch.distributed.all_gather_object(gathered, reasons[0])
        return next((reason for reason in gathered if reason), "")

    def _push(self) -> None:
        repository = create_repo(self.options.hub_model_id, exist_ok=True).repo_id
        # samples/ and checkpoints show or hold real people's pictures and optimizer states: the model alone goes up
        upload_folder(
            repo_id=repository,
            folder_path=str(self.output_dir),
            allow_patterns=["config.json", "preprocessor_config.json", "*.safetensors", "*.safetensors.index.json"],
            ignore_patterns=["*/*"],  # the Hub's * goes over slashes, too
            commit_message=f"{self.step} steps",
        )


def digest_of(module: torch.nn.Module) -> int:
    """A number that changes with the weights."""
    value = 0
    for tensor in module.state_dict().values():
        value = zlib.crc32(tensor.detach().cpu().contiguous().numpy().tobytes(), value)
    return value
