"""A training run: learns, stops, resumes where it stopped, and leaves a model that loads."""

from __future__ import annotations

import json
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tiny import same, tiny_model, tiny_processor
from training_faces import Recording, record_uploads, write_faces

from ganon_hf._atomic import TEMPORARY_PREFIX
from ganon_hf.core.anonymizer import Anonymizer
from ganon_hf.core.modeling_ganon import GanonModel
from ganon_hf.training.checkpoints import find_checkpoints
from ganon_hf.training.gpu_dataset import FaceBatch
from ganon_hf.training.options import TrainingOptions
from ganon_hf.training.trainer import Trainer, build_model


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_faces(tmp_path_factory.mktemp("faces"), 8, 4)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model that training starts from."""
    folder = tmp_path_factory.mktemp("start")
    tiny_model().save_pretrained(folder)
    tiny_processor().save_pretrained(folder)
    return folder


@pytest.fixture
def options(faces: Path, start: Path, tmp_path: Path) -> TrainingOptions:
    return TrainingOptions(
        train_data_dir=str(faces),
        output_dir=str(tmp_path / "run"),
        pretrained_model_name_or_path=str(start),
        refinement_channels=8,
        discriminator_channels=4,
        patch_size=32,
        train_batch_size=4,
        max_train_steps=6,
        adversarial_start=2,
        lr_warmup_steps=2,
        checkpointing_steps=3,
        validation_steps=3,
        logging_steps=1,
    )


def weights(folder: str | Path) -> dict[str, torch.Tensor]:
    return dict(GanonModel.from_pretrained(folder).state_dict())


def test_a_run_leaves_a_model_checkpoints_and_samples(options: TrainingOptions) -> None:
    trainer = Recording(options)
    folder = trainer.run()
    assert {path.name for path in folder.iterdir()} >= {"config.json", "model.safetensors", "preprocessor_config.json", "samples", "logs"}
    assert [path.name for path in find_checkpoints(folder)] == ["checkpoint-000003", "checkpoint-000006"]
    assert not [path for path in folder.rglob("*") if TEMPORARY_PREFIX in path.name]
    assert {path.name for path in (folder / "samples").iterdir()} == {"step-000000.png", "step-000003.png", "step-000006.png"}
    assert np.array(Image.open(folder / "samples" / "step-000006.png")).shape == (4 * 32, 4 * 32, 3)
    assert [sorted(parts) for parts in trainer.losses[:3]] == [["l1", "loss"]] * 2 + [
        ["adversarial", "discriminator", "feature_matching", "l1", "loss"]
    ]
    old, new = weights(options.pretrained_model_name_or_path or ""), weights(folder)
    # stored in half precision, so to be compared with what was loaded rounded likewise
    rounded = {name: value.half().float() if name.startswith("prior.") and value.ndim > 2 else value for name, value in old.items()}
    assert all(torch.equal(new[name], rounded[name]) for name in old), "the prior and the geometry are frozen"
    assert new["refinement.out.weight"].abs().max() > 0
    assert Anonymizer.from_pretrained(folder).model.refinement is not None


def test_resuming_gives_the_losses_of_an_uninterrupted_run(options: TrainingOptions, tmp_path: Path) -> None:
    whole = Recording(options)
    whole.run()
    parts = replace(options, output_dir=str(tmp_path / "parts"))
    first = Recording(replace(parts, time_budget_minutes=1e-9))  # stops after its first step and saves
    first.run()
    assert len(first.losses) == 1 and [path.name for path in find_checkpoints(tmp_path / "parts")] == ["checkpoint-000001"]
    second = Recording(replace(parts, resume_from_checkpoint="latest"))
    second.run()
    assert first.losses + second.losses == whole.losses, "equal to the last bit"
    assert all(torch.equal(a, b) for a, b in zip(weights(options.output_dir).values(), weights(tmp_path / "parts").values(), strict=True))


def test_a_signal_ends_the_run_with_a_checkpoint(options: TrainingOptions) -> None:
    class Interrupted(Recording):
        def update(self) -> dict[str, Any]:
            if self.step == 1:
                signal.raise_signal(signal.SIGTERM)
            return super().update()

    before = signal.getsignal(signal.SIGTERM)
    folder = Interrupted(options).run()
    assert [path.name for path in find_checkpoints(folder)] == ["checkpoint-000002"]
    assert signal.getsignal(signal.SIGTERM) is before


def test_an_incomplete_checkpoint_is_not_resumed_from(options: TrainingOptions) -> None:
    folder = Recording(replace(options, max_train_steps=3)).run()
    (folder / "checkpoint-000099").mkdir()  # power was cut before the last file was written
    (folder / f"{TEMPORARY_PREFIX}checkpoint-000100.tmp").mkdir()
    again = Recording(replace(options, max_train_steps=4, resume_from_checkpoint="latest"))
    again.run()
    assert len(again.losses) == 1


def test_checkpoints_keep_their_format(options: TrainingOptions) -> None:
    """Checkpoints of earlier versions stay loadable: names of files and tensors are fixed, whatever the code calls them."""
    trainer = Recording(replace(options, max_train_steps=3))
    (checkpoint,) = find_checkpoints(trainer.run())
    files = {path.relative_to(checkpoint).as_posix() for path in checkpoint.rglob("*") if path.is_file()}
    networks, optimizers = {"model.safetensors", "model_1.safetensors"}, {"optimizer.bin", "optimizer_1.bin"}
    model = {f"model/{name}" for name in ("config.json", "model.safetensors", "preprocessor_config.json")}
    assert files == {*networks, *optimizers, *model, "random_states_0.pkl", "training_state.json"}
    assert json.loads((checkpoint / "training_state.json").read_text()) == {"step": 3, "num_processes": 1}
    generator, discriminator = (load_file(checkpoint / name) for name in sorted(networks))
    assert generator.keys() >= {"refinement.out.weight", "prior.luma", "geometry.people_shapes"}
    layers = {f"scales.{scale}.{layer}" for scale in (0, 1) for layer in ("blocks.0", "blocks.1", "blocks.2", "out")}
    assert discriminator.keys() == {
        *(f"{layer}.bias" for layer in layers),
        *(f"{layer}.parametrizations.weight.{part}" for layer in layers for part in ("original", "0._u", "0._v")),
    }


def test_old_checkpoints_are_deleted(options: TrainingOptions) -> None:
    folder = Recording(replace(options, checkpointing_steps=1, checkpoints_total_limit=2)).run()
    assert [path.name for path in find_checkpoints(folder)] == ["checkpoint-000005", "checkpoint-000006"]


def test_accumulated_batches_make_one_update(options: TrainingOptions, tmp_path: Path) -> None:
    """Half the batch twice is the whole batch: the losses are means over all pixels."""
    plain = replace(options, adversarial_weight=0.0, max_train_steps=3, max_grad_norm=0.0, ema_decay=0.0)
    whole = Recording(plain)
    whole.run()

    class Halves(Recording):
        def _batch(self, number: int) -> FaceBatch:  # the patches of the whole batch
            batch, part = whole._batch(number // 2), slice(number % 2 * 2, number % 2 * 2 + 2)
            rest = (batch.target, batch.mask, batch.weights, batch.adversarial_weights, batch.color_weights)
            return FaceBatch({name: value[part] for name, value in batch.inputs.items()}, *(value[part] for value in rest))

    halves = Halves(replace(plain, train_batch_size=2, gradient_accumulation_steps=2, output_dir=str(tmp_path / "halves")))
    halves.run()
    one, two, old = (
        model.refinement.out.weight.detach()  # type: ignore[union-attr]
        for model in (whole.unwrapped_model, halves.unwrapped_model, Trainer(plain).unwrapped_model)
    )
    # Adam makes steps of one length of gradients that are all but zero: a few weights go another way, most must not
    assert ((one - two).abs() < 0.05 * (one - old).abs().max()).float().mean() > 0.98


def test_fine_tuning_may_move_the_prior(options: TrainingOptions) -> None:
    folder = Recording(replace(options, train_prior=True, max_train_steps=3)).run()
    old, new = weights(options.pretrained_model_name_or_path or ""), weights(folder)
    moved = {name for name in old if not torch.equal(old[name], new[name])}
    assert moved == {"prior.luma", "prior.luma_appearance", "prior.chroma", "prior.chroma_appearance"}


def test_training_learns(options: TrainingOptions) -> None:
    """Pictures that are the prior's plus a pattern: the refinement finds the pattern."""
    trainer = Recording(
        replace(
            options,
            adversarial_weight=0.0,
            max_train_steps=100,
            learning_rate=5e-3,
            checkpointing_steps=100,
            validation_steps=100,
            ema_decay=0.0,
        )
    )
    trainer.run()
    errors = trainer.validate()
    assert errors["l1"] < 0.9 * errors["l1_coarse"], errors


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train_data_dir": "/nowhere"}, "holds no train-"),
        ({"resume_from_checkpoint": "latest"}, "no checkpoint-"),
        ({"resume_from_checkpoint": "/nowhere"}, "is not a training checkpoint"),
        ({"preset": "paper"}, "multiple of 256 pixels, not 64 and crops that the face fills.*--tight --image-size 512"),
    ],
)
def test_what_does_not_fit_is_said(options: TrainingOptions, change: dict[str, object], message: str) -> None:
    with pytest.raises((FileNotFoundError, ValueError), match=message):
        Trainer(replace(options, **change)).run()


def test_the_preset_and_the_model_are_of_one_kind(options: TrainingOptions) -> None:
    with pytest.raises(ValueError, match="preset 'paper' trains conditioning='landmarks', but .* has 'mesh'"):
        build_model(replace(options, preset="paper"), 256)


def test_tight_crops_are_not_for_the_mesh(options: TrainingOptions, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="preset 'mesh' needs crops with a margin.*no --tight"):
        Trainer(replace(options, train_data_dir=str(write_faces(tmp_path, 2, 1, tight=True))))


def test_validating_and_saving_draw_no_random_numbers(options: TrainingOptions) -> None:
    """Dropout must not notice when a run was validated, saved, stopped or measured."""
    trainer = Trainer(options)
    trainer.accelerator.init_trackers("ganon")
    before = torch.get_rng_state()
    trainer.validate()
    trainer.save()
    trainer._measure_flops(trainer._batch(0))
    assert torch.equal(torch.get_rng_state(), before)


def test_the_model_alone_goes_to_the_hub(options: TrainingOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    uploaded = record_uploads(monkeypatch)
    Trainer(replace(options, push_to_hub=True, hub_model_id="user/name", max_train_steps=3)).run()
    assert uploaded == {"config.json", "model.safetensors", "preprocessor_config.json"}, "no checkpoint, no sample"


def test_color_only(options: TrainingOptions) -> None:
    trainer = Trainer(replace(options, use_grayscale=False))
    assert len(trainer.train_dataset) == 5 and len(trainer.validation_dataset) == 4


def test_two_pictures_are_never_the_same_patch_twice_in_an_epoch(options: TrainingOptions) -> None:
    trainer = Trainer(options)
    first, second = trainer._batch(0), trainer._batch(1)
    seen = torch.cat([first.inputs["appearance"], second.inputs["appearance"]])
    assert len(torch.unique(seen.round(decimals=4), dim=0)) == 8, "an epoch shows every face once"
    assert not same(trainer._batch(2).target.numpy(), first.target.numpy())
