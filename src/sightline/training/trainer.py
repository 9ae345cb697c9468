"""The loop: steps, epochs, validation, selection, logs and checkpoints of one run."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sightline.augment import build_augmentation
from sightline.classifier import Classifier, model_file
from sightline.classifier.input_step import InputStep
from sightline.classifier.torch_backend import TorchBackend
from sightline.data import ImageSet, Preprocessing, Splits
from sightline.device import Compute, channels_last, seed_generator, send
from sightline.errors import Interrupted, NumericError, UsageError
from sightline.evaluation.predictions import Predictions, evaluate
from sightline.runs.folder import PROBABILITIES, RESULTS, STEPS, RunFolder
from sightline.settings import Settings
from sightline.training.backbone import Backbone
from sightline.training.batches import BatchOrder, ResidentImages, mixed_seed
from sightline.training.checkpoints import EpochSums, Progress, load_checkpoint, save_checkpoint
from sightline.training.clock import Clock, Plan
from sightline.training.cuda_graph import CudaGraphs, RecordedStep, decide
from sightline.training.interruption import Interruption, watch_for_interruption
from sightline.training.optimizers import FUSED, build_optimizer, prepare_update
from sightline.training.reporter import Reporter
from sightline.training.schedules import learning_rate
from sightline.training.step import TrainingStep
from sightline.training.tracking import Tracker
from sightline.training.weights import save_tested

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


class Trainer:
    """One run, from its first step or from a checkpoint to its end."""

    def __init__(
        self,
        settings: Settings,
        folder: RunFolder,
        splits: Splits,
        preprocessing: Preprocessing,
        module: nn.Module,
        compute: Compute,
        reporter: Reporter,
    ) -> None:
        self.settings, self.folder, self.splits, self.reporter = settings, folder, splits, reporter
        training = settings.training
        if training.batch_size == 1 and any(isinstance(m, BATCH_NORMS) for m in module.modules()):
            raise UsageError("--batch-size", "1 found", "2 or more, since this network has batch norm")
        model = module.to(compute.device)
        if settings.device.channels_last:
            model = channels_last(model)
        self.model = model.train()
        self.order = BatchOrder(len(splits.train), training.batch_size, training.seed, training.last_batch)
        self.plan = Plan.of(settings, self.order)
        self.execution = decide(settings, compute, self.order, self.plan.total_steps)
        input_step = InputStep(preprocessing).to(compute.device)
        self.backbone = Backbone(model, input_step, settings, splits, compiled=self.execution.compiled)
        fused = settings.device.fused and settings.optimizer.optimizer in FUSED and compute.device.type != "mps"
        self.optimizer = build_optimizer(
            settings.optimizer,
            model,
            fused=fused,
            finetune=settings.finetune,
            precision=compute.product_dtype,
        )
        self.take_step = TrainingStep(
            model,
            input_step,
            self.optimizer,
            compute,
            training,
            optimizer_name=settings.optimizer.optimizer,
            fused=fused,
            class_weights=self._class_weights(compute.device),
            auxiliary_weight=getattr(settings.model, "auxiliary_weight", 0.0),
        )
        self.recorded_step: RecordedStep | None = None
        if self.execution.recorded:
            self.recorded_step = RecordedStep(self.take_step, training.batch_size, CudaGraphs(compute.device))
        self.images = ResidentImages(splits.train, compute.device)
        self.augment = build_augmentation(
            settings.augment, count=len(splits.train), seed=training.seed, device=compute.device
        )
        self.compute = compute
        self.header = model_file.ModelHeader(
            model=settings.model,
            module=None if settings.model else type(module).__qualname__,
            class_names=splits.train.class_names,
            preprocessing=preprocessing,
        )
        self.classifier = self.classifier_at(1.0)
        self.progress = Progress(precision=compute.precision, threads=torch.get_num_threads())
        self.sums = EpochSums.zero(compute.device)
        self.best: dict[str, torch.Tensor] | None = None
        self.tracker: Tracker | None = None

    @property
    def tested_model(self) -> nn.Module:
        """The network that is validated, selected and saved: the moving average where it is on."""
        return self.take_step.average.model if self.take_step.average else self.model

    def classifier_at(self, temperature: float) -> Classifier:
        """The tested model as a classifier with a temperature."""
        preprocessing, names = self.header.preprocessing, self.header.class_names
        backend = TorchBackend(self.tested_model, preprocessing, self.compute.device, temperature=temperature)
        return Classifier(backend, preprocessing, names, self.settings.model, temperature)

    def _class_weights(self, device: torch.device) -> torch.Tensor | None:
        if self.settings.training.class_weights == "none":
            return None
        counts = self.splits.train.class_counts()
        weights = counts.sum() / (len(counts) * np.maximum(counts, 1))
        return torch.tensor(weights, dtype=torch.float32, device=device)

    def restore(self) -> None:
        """Go back to the latest checkpoint, or to the start where there is none, and cut the logs to it."""
        self.folder.prune_checkpoints(self.settings.checkpoints.keep_checkpoints)
        checkpoints = self.folder.checkpoints()
        if checkpoints:
            self.progress, self.sums, self.best = load_checkpoint(
                checkpoints[0], self._networks(), self.optimizer, self.compute.device
            )
            self.take_step.scaler.load_state_dict(self.progress.scaler)
            if self.progress.step == self.settings.extended_from_step:
                self.progress.stopped = None  # the run was made longer since
            if self.progress.rate is None and self.progress.step:
                # A schedule that runs again over the part that was added knows no rate before it.
                self.progress.rate = self._rate(max(self.progress.step - 1, self.settings.extended_from_step))
        for file in (RESULTS, STEPS, PROBABILITIES):
            self.folder.cut_rows(file, self.progress.rows.get(file, 0))

    def run(self) -> None:
        """Train to the end of the plan, or until a rule stops it.

        Raises NumericError when the loss or gradient is not finite, Interrupted on Ctrl-C; what was reached is kept.
        """
        progress, plan = self.progress, self.plan
        # Before the clock starts.
        self.tracker = Tracker.of(self.settings, self.folder)
        if self.execution.line is not None and progress.step < plan.total_steps:
            self.reporter.note(self.execution.line)
        self.reporter.begin(
            step=progress.step,
            total_steps=plan.total_steps,
            steps_per_epoch=plan.steps_per_epoch,
            counts_steps=self.settings.training.steps is not None,
        )
        clock = Clock(progress, self.sums.images())
        checkpoint_due = time.monotonic() + (self.settings.checkpoints.checkpoint_seconds or math.inf)
        try:
            with watch_for_interruption() as interruption:
                if progress.step % plan.steps_per_epoch == 0 and progress.step < plan.total_steps:
                    self._close_epoch(clock)
                self._begin_epoch()
                while progress.step < plan.total_steps and progress.stopped is None:
                    self._step(clock)
                    at_epoch_end = progress.step % plan.steps_per_epoch == 0
                    if at_epoch_end and (self._validation_is_due() or progress.step < plan.total_steps):
                        self._end_epoch(clock)
                    if at_epoch_end and progress.step < plan.total_steps:
                        self._begin_epoch()
                    if self._checkpoint_is_due(at_epoch_end, time.monotonic() >= checkpoint_due):
                        self._checkpoint(clock)
                        checkpoint_due = time.monotonic() + (self.settings.checkpoints.checkpoint_seconds or math.inf)
                    self._stop_if_asked(interruption, clock)
                if not self.folder.checkpoint_path(progress.step).exists():
                    self._checkpoint(clock)
            # Behind the checkpoint, so that a run with more steps goes on as if this had not been the end.
            self._close_epoch(clock)
            clock.note(progress)
        finally:
            self.reporter.end()
            if self.tracker is not None:
                self.tracker.close()

    def _begin_epoch(self) -> None:
        epoch = self.progress.step // self.plan.steps_per_epoch + 1
        self.take_step.forward, self.take_step.input_step = self.backbone.begin_epoch(epoch)
        if self.recorded_step is not None:
            self.recorded_step.begin_epoch()

    def _rate(self, step: int) -> float:
        return learning_rate(
            self.settings.schedule,
            self.settings.optimizer.lr,
            step,
            total_steps=self.plan.total_steps,
            steps_per_epoch=self.plan.steps_per_epoch,
            start_step=self.settings.extended_from_step,
        )

    def passes(self, step: int) -> int | torch.Tensor:
        """How often training went through all images before each image of a step: one number, or int64 (B,)."""
        if self.settings.training.last_batch == "keep":
            return step // self.plan.steps_per_epoch
        size = self.order.batch_size
        return torch.arange(step * size, (step + 1) * size, device=self.compute.device) // self.order.count

    def _step(self, clock: Clock) -> None:
        """Take one step and log it."""
        training, progress = self.settings.training, self.progress
        step = progress.step
        progress.rate = self._rate(step)
        prepare_update(self.optimizer, self.settings.optimizer, progress.rate, step)
        seed_generator(self.compute.device, mixed_seed(training.seed, step))
        indices = self.order.indices(step)
        at = send(torch.from_numpy(indices), self.compute.device)
        if self.backbone.train_features is not None:
            inputs, labels = self.backbone.train_features.gather(at)
        else:
            inputs, labels = self.images.gather(indices, at)
            inputs = self.augment(inputs, at, self.passes(step))
        loss, logits = (self.recorded_step or self.take_step)(step, inputs, labels)
        self.sums.add(logits, labels)
        progress.step += 1
        clock.count(len(indices))
        waits = self.compute.device.type == "cpu"
        logs = progress.step % training.log_steps == 0
        if waits or logs:
            self._check_sound()
            self.reporter.step(step, clock.images_per_second, *self.sums.means())
        else:
            self.reporter.step(step, clock.images_per_second, None, None)
        if logs:
            row = {
                "step": progress.step,
                "epoch": step // self.plan.steps_per_epoch + 1,
                "lr": progress.rate,
                "loss": float(loss),
                "images_per_second": clock.images_per_second,
            }
            self._append(STEPS, [row])
            self.reporter.log(row)
        if training.log_probabilities_steps and progress.step % training.log_probabilities_steps == 0:
            self._log_probabilities(indices, logits)

    def seen(self, most: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """The first images of the first batch, uint8 (n, H, W, C), n up to `most`: as they are, and as seen."""
        seed_generator(self.compute.device, mixed_seed(self.settings.training.seed, 0))
        indices = self.order.indices(0)
        at = send(torch.from_numpy(indices), self.compute.device)
        pixels = self.images.gather(indices, at)[0]
        augmented = self.augment(pixels, at, self.passes(0))
        return pixels[:most].cpu().numpy(), augmented[:most].cpu().numpy()

    def _log_probabilities(self, indices: NDArray[np.int64], logits: torch.Tensor) -> None:
        images, names = self.splits.train, self.splits.train.class_names
        columns = _columns(names)
        rows: list[dict[str, Any]] = []
        for index, probabilities in zip(indices, torch.softmax(logits, 1).tolist(), strict=True):
            row = {"step": self.progress.step, "id": images.ids[index], "label": names[images.labels[index]]}
            rows.append(row | dict(zip(columns, probabilities, strict=True)))
        self._append(PROBABILITIES, rows)

    def _end_epoch(self, clock: Clock) -> None:
        """Validate, select, log, and start the next epoch's sums."""
        training, progress = self.settings.training, self.progress
        self._check_sound()
        train_loss, train_accuracy = self.sums.means()
        epoch = math.ceil(progress.step / self.plan.steps_per_epoch)
        row: dict[str, Any] = {"epoch": epoch, "step": progress.step, "lr": progress.rate}
        row |= {"train_loss": train_loss, "train_accuracy": train_accuracy}
        due = self._validation_is_due() or progress.step >= self.plan.total_steps
        if self.splits.validation is not None:
            row |= dict.fromkeys(("val_loss", "val_accuracy", "val_macro_f1"))
        if self.splits.validation is not None and due:
            figures = self._validate(self.splits.validation).metrics()
            row |= {"val_loss": figures.loss, "val_accuracy": figures.accuracy, "val_macro_f1": figures.macro_f1}
            value = figures.macro_f1 if training.select == "macro_f1" else figures.accuracy
            self._select(epoch, value)
            self._stop_at("validation", figures.accuracy)
            if training.patience is not None and progress.epochs_since_best >= training.patience:
                progress.stopped = f"no better epoch in {training.patience}"
        if training.watch_test and self.splits.test is not None:
            row |= dict.fromkeys(("test_loss", "test_accuracy"))
            if due:
                figures = evaluate(self.classifier, self.splits.test).metrics()
                row |= {"test_loss": figures.loss, "test_accuracy": figures.accuracy}
                self._stop_at("test", figures.accuracy)
        row |= {"seconds": clock.epoch_seconds, "images_per_second": clock.images_per_second}
        self._append(RESULTS, [row])
        self.reporter.epoch(row)
        self.sums = EpochSums.zero(self.compute.device)
        clock.begin_epoch()

    def _stop_at(self, part: str, accuracy: float) -> None:
        wanted = self.settings.training.stop_at_accuracy
        if wanted is not None and accuracy >= wanted:
            self.progress.stopped = f"{part} accuracy reached {wanted:g}"

    def _validate(self, images: ImageSet) -> Predictions:
        if self.backbone.val_features is not None:
            return self.backbone.val_features.predictions(self.tested_model)
        return evaluate(self.classifier, images)

    def _validation_is_due(self) -> bool:
        epoch = math.ceil(self.progress.step / self.plan.steps_per_epoch)
        return epoch % self.settings.training.validate_epochs == 0

    def _close_epoch(self, clock: Clock) -> None:
        """End the epoch of the last step, whole or not, unless it has its row already."""
        if math.ceil(self.progress.step / self.plan.steps_per_epoch) > self.progress.rows.get(RESULTS, 0):
            self._end_epoch(clock)

    def _select(self, epoch: int, value: float) -> None:
        progress = self.progress
        better = progress.best_value is None or value > progress.best_value
        if not better and self.settings.training.select != "last":
            # A run that its user made longer is given the same patience again.
            lengthened = self.settings.extended_from_step // self.plan.steps_per_epoch
            progress.epochs_since_best = epoch - max(progress.best_epoch or 0, lengthened)
            return
        progress.best_value, progress.best_epoch, progress.epochs_since_best = value, epoch, 0
        self.best = {name: tensor.detach().cpu().clone() for name, tensor in self.tested_model.state_dict().items()}
        save_tested(self.folder, self.folder.best_weights, self.best, self.header, self.reporter)

    def _checkpoint_is_due(self, at_epoch_end: bool, time_is_up: bool) -> bool:
        rules, step = self.settings.checkpoints, self.progress.step
        by_epoch = at_epoch_end and (step // self.plan.steps_per_epoch) % (rules.checkpoint_epochs or math.inf) == 0
        by_step = rules.checkpoint_steps is not None and step % rules.checkpoint_steps == 0
        return by_epoch or by_step or time_is_up

    def _checkpoint(self, clock: Clock) -> None:
        self._check_sound()
        clock.note(self.progress)
        self.progress.scaler = dict(self.take_step.scaler.state_dict())
        path = self.folder.checkpoint_path(self.progress.step)
        save_checkpoint(path, self.progress, self.sums, self._networks(), self.optimizer, self.best)
        self.folder.prune_checkpoints(self.settings.checkpoints.keep_checkpoints)

    def _networks(self) -> Mapping[str, nn.Module]:
        average = self.take_step.average
        return {"model": self.model} | ({"average": average.model} if average else {})

    def _check_sound(self) -> None:
        """Stop if a loss has failed. It waits for the device: what is timed behind it is work, not the queueing of it.

        Raises NumericError.
        """
        if bool(self.take_step.failed):
            kept = "the best weights are kept" if self.best is not None else "there are no weights to keep yet"
            raise NumericError(
                str(self.folder.path),
                f"the loss or its gradient was not finite near step {self.progress.step}, so nothing was updated",
                kept,
                "lower --lr, set --clip-norm or --warmup-epochs, or use --precision fp32",
            )

    def _stop_if_asked(self, interruption: Interruption, clock: Clock) -> None:
        if interruption.asked and self.progress.step < self.plan.total_steps:
            self._checkpoint(clock)
            raise Interrupted(
                str(self.folder.path),
                f"stopped at step {self.progress.step} of {self.plan.total_steps}",
                "a checkpoint is kept",
                f"go on with sightline train --resume {self.folder.path}",
            )

    def _append(self, file: str, rows: list[dict[str, Any]]) -> None:
        self.folder.append_rows(file, rows)
        if self.tracker is not None:
            self.tracker.add(file, rows)
        self.progress.rows[file] = self.progress.rows.get(file, 0) + len(rows)


def _columns(class_names: Sequence[str]) -> list[str]:
    """Name each class's column of probabilities.csv: as the class, but for names that other columns have."""

    def column(name: str) -> str:
        while name in taken:
            name = f"class {name}"
        return name

    others = {"step", "id", "label"}
    taken = others.union(class_names)
    return [column(name) if name in others else name for name in class_names]
