"""Keras on TensorFlow, as its users write it: arrays of float32 in [0, 1], compile, fit; every default left alone.

The networks are those that the parity check holds against Sightline's (benchmarks/parity/keras_programs.py).
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import peer_data
import side
from numpy.typing import NDArray

sys.path.insert(1, str(Path(__file__).resolve().parents[1] / "parity"))

import keras
import keras_programs
import tensorflow as tf

PROGRAMS = {"R1": "mnist-resnet-pad", "R2": "mnist-cnn", "ResNet-18": "cifar10-resnet18"}


def main() -> None:
    """Answer."""
    side.answer({"steps": steps, "train": train}, ("keras", "tensorflow-cpu", "numpy"))


def begin(threads: int, seed: int) -> None:
    """Threads and seed. Must come first: the first variable, even an optimizer's, fixes the threads."""
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    keras.utils.set_random_seed(seed)


def build(network: str, optimizer: keras.optimizers.Optimizer) -> keras.Model:
    """One of the parity check's networks, with R2's dropout (which the check leaves out), compiled."""

    def with_dropout(layer: keras.Layer) -> keras.Layer:
        is_dropout = isinstance(layer, keras.layers.Dropout)
        return keras.layers.Dropout(0.4) if is_dropout else layer.__class__.from_config(layer.get_config())

    model = keras.models.clone_model(keras_programs.BUILDERS[PROGRAMS[network]](), clone_function=with_dropout)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=optimizer, loss=loss, metrics=["accuracy"])
    return model


def scaled(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """In [0, 1], as every Keras example begins."""
    return pixels.astype(np.float32) / 255


class StepEnds(keras.callbacks.Callback):
    """When each step ended."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: list[float] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
        """Look at the clock."""
        self.ends.append(time.perf_counter())


def steps(network: str, batch_size: int, warmup: int, count: int, block: int, threads: int) -> side.Answer:
    """Images a second of model.fit."""
    begin(threads, seed=0)
    pixels, labels = side.synthetic(network, batch_size * (warmup + count))
    model = build(network, keras.optimizers.SGD(0.001))
    clock = StepEnds()
    model.fit(scaled(pixels), labels, batch_size=batch_size, epochs=1, verbose=0, callbacks=[clock])
    return side.speed(clock.ends, batch_size, warmup, block, about(model))


def about(model: keras.Model) -> side.Answer:
    """How many numbers are trained, and whether Keras, which decides it by itself, compiles the step with XLA."""
    count = sum(int(np.prod(variable.shape)) for variable in model.trainable_weights)
    return {"parameters": count, "jit_compile": bool(model.jit_compile)}


class FitTime(keras.callbacks.Callback):
    """Seconds of fitting behind each epoch, without the validations, and the accuracy on the test images there.

    The clock starts when this object is made, right before fit, so the building of the graph counts. With `stop_at` an
    accuracy that reaches it ends the training.
    """

    def __init__(self, stop_at: float | None) -> None:
        super().__init__()
        self.epochs: list[dict[str, float]] = []
        self._stop_at = stop_at
        self._validating = 0.0
        self._start = self._validation_start = time.perf_counter()

    def on_test_begin(self, logs: Any = None) -> None:  # noqa: ARG002
        """The epoch's training is over."""
        self._validation_start = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
        """The epoch's validation is over."""
        seconds = self._validation_start - self._start - self._validating
        self._validating += time.perf_counter() - self._validation_start
        self.epochs.append({"seconds": seconds, "test_accuracy": float(logs["val_accuracy"])})
        if self._stop_at is not None and logs["val_accuracy"] >= self._stop_at:
            self.model.stop_training = True


def train(
    network: str, data: str, batch_size: int, epochs: int, seed: int, threads: int,
    stop_at: float | None = None, images: int | None = None, first_steps: int | None = None,
) -> side.Answer:  # fmt: skip
    """Train with Keras' Adam, the test images as validation after each epoch; `images` takes only so many.

    With `first_steps` only these are made.
    """
    begin(threads, seed)
    (train_pixels, train_labels), (test_pixels, test_labels) = peer_data.load(data, images)
    model = build(network, keras.optimizers.Adam())
    inputs, test_inputs = scaled(train_pixels), scaled(test_pixels)
    if first_steps is not None:
        ends = StepEnds()
        count = first_steps * batch_size
        model.fit(inputs[:count], train_labels[:count], batch_size=batch_size, verbose=0, callbacks=[ends])
        return side.projected(ends.ends, epochs * -(-len(inputs) // batch_size), about(model))
    clock = FitTime(stop_at)
    model.fit(
        inputs, train_labels, batch_size=batch_size, epochs=epochs, verbose=0, callbacks=[clock],
        validation_data=(test_inputs, test_labels),
    )  # fmt: skip
    return {"values": {}, "details": {"curve": clock.epochs, **about(model)}}


if __name__ == "__main__":
    main()
