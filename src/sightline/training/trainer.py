"""The epochs and steps of one run, from its first step or from a checkpoint to its end."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sightline.augment import build_augmentation, build_mixing
from sightline.classifier.header import ModelHeader
from sightline.classifier.input_step import InputStep
from sightline.device import Compute, channels_last, mixed_seed, seed_generator, send
from sightline.errors import Interrupted, NumericError, UsageError
from sightline.evaluation.predictions import blamed_on
from sightline.runs.folder import RESULTS, TABLES, RunFolder
from sightline.settings import Settings
from sightline.training.backbone import Backbone, TrainedPart
from sightline.training.batches import BatchOrder, ResidentImages, TrainingLength
from sightline.training.checkpoints import TrainingState, load_checkpoint, save_checkpoint
from sightline.training.ema import WeightEnsemble
from sightline.training.execution import build_step, choose_execution, compiled_forward
from sightline.training.interruption import Interruption, watch_for_interruption
from sightline.training.logs import Clock, EpochSums, RunLogs
from sightline.training.optimizers import build_optimizer, uses_fused
from sightline.training.prepare import RunData
from sightline.training.reporter import Reporter
from sightline.training.schedules import learning_rate
from sightline.training.validation import Validation
from sightline.training.weights import RunWeights

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


class Trainer:
    """One run. `state` says how far it is, `validation.best` has its best weights so far."""

    def __init__(
        self,
        settings: Settings,
        folder: RunFolder,
        data: RunData,
        network: nn.Module,
        compute: Compute,
        reporter: Reporter,
    ) -> None:
        training, train = settings.training, data.splits.train
        self.settings, self.folder, self.data, self.compute, self.reporter = settings, folder, data, compute, reporter
        self.model = _on_device(network, settings, compute)
        self.order = BatchOrder.of(train, training)
        self.length = TrainingLength.from_settings(training, self.order)
        source = train.to_crop_from() if settings.augment.random_crop else train
        self.images = ResidentImages(source, compute.device)
        self.augment = build_augmentation(
            settings.augment, count=len(train), seed=training.seed, device=compute.device, size=train.size[:2]
        )
        self.mix = build_mixing(settings.augment, classes=len(train.class_names))
        self.execution = choose_execution(settings, compute, self.order, self.length.total_steps)
        forward = compiled_forward(self.model, training.batch_size) if self.execution.compiled else self.model
        input_step = InputStep(data.preprocessing).to(compute.device)
        self.backbone = Backbone(self.model, forward, input_step, settings, data.splits, compute)
        self.optimizer = build_optimizer(
            settings.optimizer,
            self.model,
            fused=uses_fused(settings, compute),
            finetune=settings.finetune,
            precision=compute.product_dtype,
        )
        weights = _class_weights(settings, data, compute.device)
        self.training_step = build_step(self.execution, self.model, self.optimizer, settings, compute, weights)
        header = ModelHeader(
            model=settings.model,
            module=None if settings.model else type(network).__qualname__,
            class_names=train.class_names,
            preprocessing=data.preprocessing,
        )
        average = self.training_step.average
        tested = self.model if average is None else average.model
        share = settings.finetune.weight_ensemble
        self.ensemble = WeightEnsemble(tested, share) if share < 1 else None
        tested = tested if self.ensemble is None else self.ensemble.model
        self.weights = RunWeights(folder, tested, header, compute.device, reporter)
        per_epoch = self.length.steps_per_epoch
        self.validation = Validation(settings, data.splits, self.weights, self.backbone, per_epoch)
        self.state = TrainingState(precision=compute.precision, threads=torch.get_num_threads())
        self.sums = EpochSums.zero(compute.device)
        self.must_end: float | None = None
        """Of time.monotonic(): an epoch that ends later is the last."""
        self.logs: RunLogs
        self.clock: Clock

    def restore(self) -> None:
        """Go back to the latest checkpoint, or to the start where there is none, and cut the logs to it."""
        self.folder.prune_checkpoints(self.settings.checkpoints.keep_checkpoints)
        for path in self.folder.checkpoints()[:1]:
            self.state, self.sums.values, self.validation.best = load_checkpoint(
                path, self._networks(), self.optimizer, self.compute.device, self.folder.mend_checkpoint()
            )
            self.training_step.scaler.load_state_dict(self.state.scaler)
            if self.state.step == self.settings.extended_from_step:
                self.state.stopped = None  # the run was made longer since
            if self.state.rate is None and self.state.step:
                # A schedule that runs again over the part that was added knows no rate before it.
                self.state.rate = self._rate(max(self.state.step - 1, self.settings.extended_from_step))
        for file in TABLES:
            self.folder.cut_rows(file, self.state.rows.get(file, 0), self.state.table_sums.get(file))

    def begin(self) -> None:
        """Open the logs and start the clock."""
        if self.execution.line is not None and self.state.step < self.length.total_steps:
            self.reporter.note(self.execution.line)
        self.logs = RunLogs(self.settings, self.folder, self.state, self.reporter, self.length)
        self.clock = Clock(self.state, self.sums.images())
        self._last_checkpoint = time.monotonic()

    def run(self) -> None:
        """Train to the end of the plan, or until a rule stops it; a resumed run enters in the middle.

        Raises NumericError when the loss or gradient is not finite, Interrupted on Ctrl-C; what was reached is kept.
        """
        state, length = self.state, self.length
        self.begin()
        try:
            with watch_for_interruption() as interruption:
                if state.step % length.steps_per_epoch == 0 and state.step < length.total_steps:
                    self._close_epoch()  # its row was still missing when the checkpoint was written
                for epoch in length.epochs_from(state.step):
                    if state.stopped is not None:
                        break
                    part = self.backbone.begin_epoch(epoch + 1)
                    for step in length.steps_from(state.step, epoch):
                        self.train_step(part, step)
                        if state.step < length.end_of(epoch):
                            self._pause(interruption)
                    if self._ends_whole(epoch):
                        self._end_epoch()
                    if self.must_end is not None and time.monotonic() > self.must_end:
                        state.stopped = "the time is over"
                    self._pause(interruption)
                if not self.folder.checkpoint_path(state.step).exists():
                    self._checkpoint()
            # After the checkpoint, so that a run with more steps goes on as if this had not been the end.
            self._close_epoch()
            self.clock.store(state)
        finally:
            self.logs.close()

    def sample_images(self, most: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """The first images of the first batch, uint8 (n, H, W, C), n up to `most`: as they are, and as trained on."""
        indices, device_indices = self._indices(0)
        pixels, labels = self.images.gather(indices, device_indices)
        augmented, _ = self._augmented(0, device_indices, pixels, labels)
        return self.data.splits.train.select(indices[:most]).images(), augmented[:most].cpu().numpy()

    def train_step(self, part: TrainedPart, step: int) -> None:
        """Take a step, count it and log it."""
        state, epoch = self.state, step // self.length.steps_per_epoch + 1
        state.rate = self._rate(step)
        indices, batch, labels = self.batch(step)
        loss, logits = self.training_step(part, batch, labels, step=step, rate=state.rate)
        self.sums.add(logits, labels)
        state.step += 1
        self.clock.count(len(indices))
        self._log_step(step, epoch, indices, loss, logits)

    def batch(self, step: int) -> tuple[NDArray[np.int64], torch.Tensor, torch.Tensor]:
        """What a step trains on: which images, int64 (B,), they or their features, augmented, and their labels.

        Labels are int64 (B,), or soft ones, float32 (B, K), where images are mixed.
        """
        indices, device_indices = self._indices(step)
        if self.backbone.train_features is not None:
            return indices, *self.backbone.training_batch(device_indices, self.epochs_seen(step))
        return indices, *self._augmented(step, device_indices, *self.images.gather(indices, device_indices))

    def _augmented(
        self, step: int, at: torch.Tensor, images: torch.Tensor, labels: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The images of a step, uint8 (B, H, W, C), as they are trained on, and their labels, soft where mixed."""
        images = self.augment(images, at, self.epochs_seen(step))
        return (images, labels) if self.mix is None else self.mix(images, labels)

    def _indices(self, step: int) -> tuple[NDArray[np.int64], torch.Tensor]:
        """Which images a step trains on, int64 (B,), here and on the device; random numbers then begin with the step.

        Augmentation and dropout are so a function of (seed, step) alone.
        """
        seed_generator(self.compute.device, mixed_seed(self.settings.training.seed, step))
        indices = self.order.indices(step)
        return indices, send(torch.from_numpy(indices), self.compute.device)

    def epochs_seen(self, step: int) -> int | torch.Tensor:
        """How often training went through all images before each image of a step: one number, or int64 (B,)."""
        if self.settings.training.last_batch == "keep":
            return step // self.length.steps_per_epoch
        size = self.order.batch_size
        return torch.arange(step * size, (step + 1) * size, device=self.compute.device) // self.order.count

    def _rate(self, step: int) -> float:
        return learning_rate(
            self.settings.schedule,
            self.settings.optimizer.lr,
            step,
            total_steps=self.length.total_steps,
            steps_per_epoch=self.length.steps_per_epoch,
            start_step=self.settings.extended_from_step,
        )

    def _log_step(
        self, step: int, epoch: int, indices: NDArray[np.int64], loss: torch.Tensor, logits: torch.Tensor
    ) -> None:
        training, done = self.settings.training, self.state.step
        logs = done % training.log_steps == 0
        if logs or self.compute.device.type == "cpu":
            self._check_finite()
            self.reporter.step(step, self.clock.images_per_second, *self.sums.means())
        else:
            self.reporter.step(step, self.clock.images_per_second, None, None)
        if logs:
            self.logs.step(loss, epoch, self.clock.images_per_second)
        if training.log_probabilities_steps and done % training.log_probabilities_steps == 0:
            self.logs.probabilities(self.data.splits.train, indices, logits)

    def _ends_whole(self, epoch: int) -> bool:
        """Whether an epoch is to be ended here: one that is cut short, or validated only as the last, comes later."""
        whole = self.state.step % self.length.steps_per_epoch == 0
        return whole and (self.validation.is_due(epoch + 1) or self.state.step < self.length.total_steps)

    def _close_epoch(self) -> None:
        """End the epoch of the last step, whole or not, unless it has its row already; a fitted head is epoch 0."""
        before_the_first = 1 if self.settings.finetune.head == "fitted" else 0
        begun = math.ceil(self.state.step / self.length.steps_per_epoch)
        if begun + before_the_first > self.state.rows.get(RESULTS, 0):
            self._end_epoch()

    def _end_epoch(self) -> None:
        """Validate, select, log, and start the next epoch's sums."""
        state, length = self.state, self.length
        self._check_finite()
        train_loss, train_accuracy = self.sums.means() if self.sums.images() else (None, None)
        epoch = math.ceil(state.step / length.steps_per_epoch)
        if self.ensemble is not None:
            self.ensemble.update()
        if self.validation.is_due(epoch) or state.step >= length.total_steps:
            with blamed_on(f"{self.folder.path}, epoch {epoch}"):
                columns = self.validation.columns(epoch, state)
        else:
            columns = self.validation.empty_columns()
        self.logs.epoch(
            {
                "epoch": epoch,
                "step": state.step,
                "lr": state.rate,
                "train_loss": train_loss,
                "train_accuracy": train_accuracy,
                **columns,
                "seconds": self.clock.epoch_seconds,
                "images_per_second": self.clock.images_per_second,
            }
        )
        self.sums = EpochSums.zero(self.compute.device)
        self.clock.begin_epoch()

    def _pause(self, interruption: Interruption) -> None:
        """Between two steps: write a checkpoint where one is due, and stop where the user asked for it."""
        if self._checkpoint_is_due():
            self._checkpoint()
        if interruption.asked and self.state.step < self.length.total_steps:
            self._checkpoint()
            raise Interrupted(
                str(self.folder.path),
                f"stopped at step {self.state.step} of {self.length.total_steps}",
                advice=f"A checkpoint is kept. Continue with: sightline train --resume {self.folder.path}",
            )

    def _checkpoint_is_due(self) -> bool:
        rules, step = self.settings.checkpoints, self.state.step
        epochs, left = divmod(step, self.length.steps_per_epoch)
        by_epoch = left == 0 and rules.checkpoint_epochs is not None and epochs % rules.checkpoint_epochs == 0
        by_step = rules.checkpoint_steps is not None and step % rules.checkpoint_steps == 0
        seconds = time.monotonic() - self._last_checkpoint
        by_time = rules.checkpoint_seconds is not None and seconds >= rules.checkpoint_seconds
        return by_epoch or by_step or by_time

    def _checkpoint(self) -> None:
        self._check_finite()
        self.clock.store(self.state)
        self.state.scaler = dict(self.training_step.scaler.state_dict())
        self.state.table_sums = self.folder.table_sums()
        path = self.folder.checkpoint_path(self.state.step)
        save_checkpoint(path, self.state, self.sums.values, self._networks(), self.optimizer, self.validation.best)
        self.folder.prune_checkpoints(self.settings.checkpoints.keep_checkpoints)
        self._last_checkpoint = time.monotonic()

    def _networks(self) -> Mapping[str, nn.Module]:
        average, ensemble = self.training_step.average, self.ensemble
        return (
            {"model": self.model}
            | ({} if average is None else {"average": average.model})
            | ({} if ensemble is None else {"start": ensemble.start})
        )

    def _check_finite(self) -> None:
        """Stop if a loss has failed. It waits for the device: what is timed after it is work, not its queueing.

        Raises NumericError.
        """
        if bool(self.training_step.failed):
            kept = "There are no weights yet." if self.validation.best is None else "The best weights are kept."
            raise NumericError(
                str(self.folder.path),
                f"the loss or its gradient was not finite near step {self.state.step}, and nothing was updated",
                advice=f"{kept} Lower --lr, set --clip-norm or --warmup-epochs, or use --precision fp32.",
            )


def _on_device(network: nn.Module, settings: Settings, compute: Compute) -> nn.Module:
    if settings.training.batch_size == 1 and any(isinstance(m, BATCH_NORMS) for m in network.modules()):
        raise UsageError("--batch-size", "1 found", "2 or more, since this network has batch norm")
    model = network.to(compute.device)
    return (channels_last(model) if settings.device.channels_last else model).train()


def _class_weights(settings: Settings, data: RunData, device: torch.device) -> torch.Tensor | None:
    """Weights (K,) that are inversely proportional to how many training images a class has, on average 1 an image."""
    if settings.training.class_weights == "none":
        return None
    counts = data.splits.train.class_counts()
    weights = counts.sum() / (len(counts) * np.maximum(counts, 1))
    return torch.tensor(weights, dtype=torch.float32, device=device)
