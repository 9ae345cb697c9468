"""The reference programs R1, R2, R4, R5 (small form) and R6 as a user of Keras would write them, run on TensorFlow.

    python3 -m venv .venv-keras
    .venv-keras/bin/pip install -r benchmarks/parity/requirements-keras.txt
    .venv-keras/bin/python benchmarks/parity/keras_programs.py build/parity/keras.npz

Nothing of Sightline is imported. Every layer bears the name of its counterpart, so that both sides draw the same
weights (see `seeded`). Written are, for each program, the logits in float32 and, of two training steps in float64, the
losses, all gradients of the first, and all weights and moving statistics after each. In float32 a gradient is a blunt
measure: a ReLU or a pooling window within rounding of a tie can move it by more than a wrong constant would.

Optimizers are those the programs used: TensorFlow 1's for R1, R2, R5 and R6, Keras' for R4, all with their defaults
where the spec names no number.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import seeded
import tensorflow as tf
from keras import layers
from numpy.typing import NDArray
from programs import CLASSES, PROGRAMS, Program

Arrays = dict[str, NDArray[np.generic]]
Tensor = keras.KerasTensor
PARTS = {
    "kernel": "weight",
    "gamma": "weight",
    "beta": "bias",
    "bias": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


# --- R1 ---------------------------------------------------------------------------------------------------------------


class NeverTold(layers.BatchNormalization):
    """Batch norm that is never told that it trains, as TensorFlow 1's was without an argument.

    `training=False` in a functional model would not do: Keras 3 overrides it when the model itself trains.
    """

    def call(self, inputs: tf.Tensor, training: bool | None = None, mask: tf.Tensor | None = None) -> tf.Tensor:  # noqa: ARG002
        """Normalise by the moving figures, whatever `training` says."""
        return super().call(inputs, training=False, mask=mask)


def pad_resnet(widths: tuple[int, ...], *, trained_norm: bool) -> keras.Model:
    """R1, in either form."""
    x = images = keras.Input((28, 28, 1))
    x = layers.Conv2D(16, 3, padding="same", activation="relu", name="body.stem.conv")(x)
    for number, width in enumerate(widths, start=1):
        entering = x.shape[-1]
        strides = width // entering
        y = layers.Conv2D(width, 3, strides, padding="same", activation="relu", name=f"body.block{number}.conv1")(x)
        y = layers.Conv2D(width, 3, padding="same", activation="relu", name=f"body.block{number}.conv2")(y)
        if width != entering:
            x = layers.AveragePooling2D(2, 2, padding="valid")(x)
            half = (width - entering) // 2
            x = keras.ops.pad(x, [[0, 0], [0, 0], [0, 0], [half, half]])
        x = layers.Add()([x, y])
    norm = layers.BatchNormalization if trained_norm else NeverTold
    x = norm(name="body.norm.norm")(x)
    x = layers.ReLU()(x)
    x = layers.AveragePooling2D(7, 7, padding="same")(x)
    x = layers.Flatten()(x)
    return keras.Model(images, layers.Dense(CLASSES, name="head.dense")(x))


# --- R2 ---------------------------------------------------------------------------------------------------------------


def two_convolutions() -> keras.Model:
    """R2, with dropout 0: two frameworks never drop the same units."""
    x = images = keras.Input((28, 28, 1))
    for number, width in enumerate((32, 64), start=1):
        x = layers.Conv2D(width, 5, padding="same", activation="relu", name=f"body.conv{number}.conv")(x)
        x = layers.MaxPooling2D(2, 2)(x)
    x = layers.Flatten()(x)
    x = layers.Dense(1024, activation="relu", name="head.hidden")(x)
    x = layers.Dropout(0.0)(x)
    return keras.Model(images, layers.Dense(CLASSES, name="head.dense")(x))


# --- R4 ---------------------------------------------------------------------------------------------------------------


def resnet18() -> keras.Model:
    """R4. A penalty of keras.regularizers.L2's own 0.01 is on the last kernel."""
    x = images = keras.Input((32, 32, 3))
    x = layers.Conv2D(64, 3, padding="same", use_bias=False, name="body.stem.conv")(x)
    x = layers.ReLU()(layers.BatchNormalization(name="body.stem.norm")(x))
    for stage, width in enumerate((64, 128, 256, 512), start=1):
        for block in (1, 2):
            name = f"body.stage{stage}.block{block}"
            strides = 2 if stage > 1 and block == 1 else 1
            y = layers.Conv2D(width, 3, strides, padding="same", use_bias=False, name=f"{name}.conv1")(x)
            y = layers.ReLU()(layers.BatchNormalization(name=f"{name}.norm1")(y))
            y = layers.Conv2D(width, 3, padding="same", use_bias=False, name=f"{name}.conv2")(y)
            y = layers.BatchNormalization(name=f"{name}.norm2")(y)
            if strides > 1:
                x = layers.Conv2D(width, 1, strides, padding="same", use_bias=False, name=f"{name}.shortcut.conv")(x)
                x = layers.BatchNormalization(name=f"{name}.shortcut.norm")(x)
            x = layers.ReLU()(layers.Add()([x, y]))
    x = layers.GlobalAveragePooling2D()(x)
    dense = layers.Dense(CLASSES, kernel_regularizer=keras.regularizers.L2(), name="head.dense")
    return keras.Model(images, dense(x))


# --- R5, small form ---------------------------------------------------------------------------------------------------


class LocalResponseNorm(layers.Layer):
    """TensorFlow's own, with the numbers of the program that R5 comes from: radius 4, alpha a ninth of 0.001."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """(N, H, W, C) -> the same shape."""
        # There is none in float64.
        single = tf.cast(inputs, tf.float32)
        normed = tf.nn.local_response_normalization(single, depth_radius=4, bias=1.0, alpha=0.001 / 9, beta=0.75)
        return tf.cast(normed, inputs.dtype)


def small_alexnet() -> keras.Model:
    """R5's small form, with dropout 0."""
    x = images = keras.Input((28, 28, 1))
    for number, width in enumerate((64, 128, 256), start=1):
        x = layers.Conv2D(width, 3, padding="same", activation="relu", name=f"body.conv{number}.conv")(x)
        x = layers.MaxPooling2D(2, 2, padding="same")(x)
        x = LocalResponseNorm()(x)
    x = layers.Flatten()(x)
    x = layers.Dense(1024, activation="relu", name="head.hidden1")(x)
    x = layers.Dense(1024, activation="relu", name="head.hidden2")(x)
    return keras.Model(images, layers.Dense(CLASSES, name="head.dense")(x))


# --- R6 ---------------------------------------------------------------------------------------------------------------


def r6_norm(x: Tensor, name: str) -> Tensor:
    """Batch norm with the run loop's constants, then ReLU."""
    return layers.BatchNormalization(momentum=0.997, epsilon=1e-5, name=name)(x)


def fixed_padding(x: Tensor, width: int, kernel: int, strides: int, name: str) -> Tensor:
    """A convolution that pads alike on both sides where it strides, whatever the size of the input."""
    if strides > 1:
        x = layers.ZeroPadding2D((kernel - 1) // 2)(x)
    padding = "same" if strides == 1 else "valid"
    return layers.Conv2D(width, kernel, strides, padding=padding, use_bias=False, name=name)(x)


def run_loop_resnet(version: int, blocks: int = 3) -> keras.Model:
    """R6 for 32x32 images, depth 6 * blocks + 2; every stage's first block projects."""
    x = images = keras.Input((32, 32, 3))
    x = layers.Conv2D(16, 3, padding="same", use_bias=False, name="body.stem.conv" if version == 1 else "body.stem")(x)
    if version == 1:
        x = layers.ReLU()(r6_norm(x, "body.stem.norm"))
    for stage, width in enumerate((16, 32, 64), start=1):
        for block in range(1, blocks + 1):
            name = f"body.stage{stage}.block{block}"
            strides = 2 if stage > 1 and block == 1 else 1
            unit = post_activation if version == 1 else pre_activation
            x = unit(x, width, strides, name, project=block == 1)
    if version == 2:
        x = layers.ReLU()(r6_norm(x, "body.norm.norm"))
    x = keras.ops.mean(x, axis=(1, 2))
    return keras.Model(images, layers.Dense(CLASSES, name="head.dense")(x))


def post_activation(x: Tensor, width: int, strides: int, name: str, *, project: bool) -> Tensor:
    """A basic block of version 1."""
    y = layers.ReLU()(r6_norm(fixed_padding(x, width, 3, strides, f"{name}.conv1"), f"{name}.norm1"))
    y = r6_norm(fixed_padding(y, width, 3, 1, f"{name}.conv2"), f"{name}.norm2")
    if project:
        x = r6_norm(fixed_padding(x, width, 1, strides, f"{name}.shortcut.conv"), f"{name}.shortcut.norm")
    return layers.ReLU()(layers.Add()([x, y]))


def pre_activation(x: Tensor, width: int, strides: int, name: str, *, project: bool) -> Tensor:
    """A basic block of version 2; its projection takes what its first norm gives, and has no norm of its own."""
    active = layers.ReLU()(r6_norm(x, f"{name}.norm1"))
    if project:
        x = fixed_padding(active, width, 1, strides, f"{name}.shortcut.conv")
    y = fixed_padding(active, width, 3, strides, f"{name}.conv1")
    y = layers.ReLU()(r6_norm(y, f"{name}.norm2"))
    return layers.Add()([x, fixed_padding(y, width, 3, 1, f"{name}.conv2")])


# --- What is done with each -------------------------------------------------------------------------------------------

TF1 = tf.compat.v1.train
BUILDERS: dict[str, Callable[[], keras.Model]] = {
    "mnist-resnet-pad": lambda: pad_resnet((16,), trained_norm=False),
    "mnist-resnet-pad-bn": lambda: pad_resnet((16,), trained_norm=True),
    "mnist-resnet-pad-doubling": lambda: pad_resnet((16, 32, 32), trained_norm=False),
    "mnist-cnn": two_convolutions,
    "cifar10-resnet18": resnet18,
    "mnist-alexnet-small": small_alexnet,
    "cifar10-resnet20": lambda: run_loop_resnet(1),
    "cifar10-resnet20v2": lambda: run_loop_resnet(2),
}
OPTIMIZERS: dict[str, Callable[[], object]] = {
    "mnist-resnet-pad": lambda: TF1.AdamOptimizer(0.01),
    "mnist-resnet-pad-bn": lambda: TF1.AdamOptimizer(0.01),
    "mnist-cnn": lambda: TF1.GradientDescentOptimizer(0.001),
    "cifar10-resnet18": keras.optimizers.Adam,
    "mnist-alexnet-small": lambda: TF1.AdadeltaOptimizer(0.02),
    "cifar10-resnet20": lambda: TF1.MomentumOptimizer(0.1, 0.9),
    "cifar10-resnet20v2": lambda: TF1.MomentumOptimizer(0.1, 0.9),
}
R6_DECAY = 2e-4
NEVER_TRAINED = ("mnist-resnet-pad", "mnist-resnet-pad-doubling")


def own_form(model: keras.Model, layer: layers.Layer, part: str, value: NDArray[np.float32]) -> NDArray[np.float32]:
    """A kernel of PyTorch's form in Keras'. A dense layer behind Flatten sees its features in another order."""
    if part != "kernel":
        return value
    if value.ndim == 4:
        return value.transpose(2, 3, 1, 0)
    maps = flattened(model, layer)
    return value.T if maps is None else value.reshape(-1, *maps).transpose(2, 3, 1, 0).reshape(-1, value.shape[0])


def torch_form(model: keras.Model, layer: layers.Layer, part: str, value: NDArray[np.float32]) -> NDArray[np.float32]:
    """The other way round."""
    if part != "kernel":
        return value
    if value.ndim == 4:
        return value.transpose(3, 2, 0, 1)
    maps = flattened(model, layer)
    if maps is None:
        return value.T
    channels, height, width = maps
    return value.reshape(height, width, channels, -1).transpose(3, 2, 0, 1).reshape(-1, value.shape[0])


def flattened(model: keras.Model, layer: layers.Layer) -> tuple[int, int, int] | None:
    """(C, H, W) of the maps that Flatten put in a row for this dense layer, if it did."""
    sources = [s for s in model.layers if isinstance(s, layers.Flatten) and s.output.shape[-1] == layer.input.shape[-1]]
    if not sources:
        return None
    _, height, width, channels = sources[0].input.shape
    return channels, height, width


def variables(model: keras.Model) -> list[tuple[str, layers.Layer, keras.Variable]]:
    """Every weight with its counterpart's name."""
    return [(f"{layer.name}.{PARTS[v.name]}", layer, v) for layer in model.layers for v in layer.weights]


def build(program: Program, precision: str) -> keras.Model:
    """The network with its drawn weights; the moving statistics of a norm that never trains stay 0 and 1."""
    keras.backend.clear_session()
    keras.config.set_floatx(precision)
    keras.config.set_dtype_policy(precision)
    model = BUILDERS[program.name]()
    for name, layer, variable in variables(model):
        if program.name in NEVER_TRAINED and "running" in name:
            continue
        shape = torch_form(model, layer, variable.name, np.empty(variable.shape, np.float32)).shape
        value = seeded.weight(program.seed, name, shape, program.gain)
        variable.assign(own_form(model, layer, variable.name, value))
    return model


def state(model: keras.Model) -> Arrays:
    """Every weight and moving statistic in PyTorch's form."""
    return {n: torch_form(model, layer, v.name, v.numpy()) for n, layer, v in variables(model)}


def as_published(model: keras.Model, program: Program, start: Arrays, now: Arrays, steps: int) -> Arrays:
    """The state `now` with moving variances as the fused batch norm of tf.keras 2 and tf.layers makes them.

    Keras 3 averages the variance of a batch over its n values, the fused form over n - 1 (see `moving_variances`).
    """
    fused = dict(now)
    for layer in model.layers:
        name = f"{layer.name}.running_var"
        if name in now and not np.array_equal(now[name], start[name]):
            values = program.images[0] * layer.output.shape[1] * layer.output.shape[2]
            kept = start[name] * layer.momentum**steps
            fused[name] = kept + (now[name] - kept) * values / (values - 1)
    return fused


def network_input(program: Program, pixels: NDArray[np.uint8]) -> tf.Tensor:
    """R6 standardises each image by its own figures, with TensorFlow's function; the others only scale to [0, 1]."""
    scaled = tf.constant(pixels, tf.float32)
    return tf.image.per_image_standardization(scaled) if program.row.startswith("R6") else scaled / 255.0


def compute_logits(program: Program) -> Arrays:
    """The number of trained parameters, and the logits in float32."""
    model = build(program, "float32")
    images = network_input(program, seeded.images(program.seed, program.name, program.images))
    parameters = sum(v.numpy().size for v in model.trainable_weights)
    return {"parameters": np.array(parameters), "logits": model(images, training=False).numpy()}


def train(program: Program) -> Arrays:
    """Losses, first gradients, and weights after each step, in float64, of images in [0, 1]."""
    found: Arrays = {}
    model = build(program, "float64")
    optimizer = OPTIMIZERS[program.name]()
    named = [(n, layer, v) for n, layer, v in variables(model) if v.trainable]
    start = state(model)
    losses = []
    for step in range(program.steps):
        name = f"{program.name}.{step}"
        images = tf.constant(seeded.images(program.seed, name, program.images), tf.float64) / 255
        labels = seeded.labels(program.seed, name, program.images[0], CLASSES)
        with tf.GradientTape() as tape:
            each = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, model(images, training=True))
            loss = tf.add_n([tf.reduce_mean(each), *model.losses])
            losses.append(loss.numpy())
            if program.row.startswith("R6"):
                # Sightline's optimizer adds this one, so it is in the gradients here but in neither side's loss.
                loss = loss + R6_DECAY * tf.add_n([tf.nn.l2_loss(v.value) for _, _, v in named])
        gradients = tape.gradient(loss, [v.value for _, _, v in named])
        if isinstance(optimizer, keras.optimizers.Optimizer):
            optimizer.apply(gradients, [v for _, _, v in named])
        else:
            optimizer.apply_gradients(zip(gradients, [v.value for _, _, v in named], strict=True))
        if step == 0:
            for (name, layer, v), gradient in zip(named, gradients, strict=True):
                found[f"gradient/{name}"] = torch_form(model, layer, v.name, gradient.numpy())
        now = state(model)
        if program.name in NEVER_TRAINED:
            assert not now["body.norm.norm.running_mean"].any() and (now["body.norm.norm.running_var"] == 1).all()
            now = {name: value for name, value in now.items() if "running" not in name}
        fused = as_published(model, program, start, now, step + 1)
        found |= {f"after{step + 1}/{name}": value for name, value in fused.items()}
        found |= {f"keras3/{name}": now[name] for name in now if name.endswith("running_var")}
    found["losses"] = np.array(losses)
    return found


def local_response_norm() -> Arrays:
    """TensorFlow's local response normalisation of maps (N, C, H, W), large values in more than 9 channels."""
    maps = seeded.uniform(0, "lrn", (4, 24, 6, 5), -30, 30)
    normed = tf.nn.local_response_normalization(maps.transpose(0, 2, 3, 1), 4, bias=1.0, alpha=0.001 / 9, beta=0.75)
    return {"normed": normed.numpy().transpose(0, 3, 1, 2)}


def moving_variances() -> Arrays:
    """What one training pass makes of a moving variance of 1, in Keras 3 and in TensorFlow's fused batch norm.

    The fused form is what tf.keras 2 and tf.layers ran for images, so what the published programs did.
    """
    maps = seeded.uniform(0, "moving", (4, 3, 5, 6), -2, 3).transpose(0, 2, 3, 1)
    norm = layers.BatchNormalization(momentum=0.9)
    norm(maps, training=True)
    ones, zeros = np.ones(3, np.float32), np.zeros(3, np.float32)
    _, _, fused, *_ = tf.raw_ops.FusedBatchNormV3(
        x=maps, scale=ones, offset=zeros, mean=zeros, variance=ones, epsilon=1e-3, exponential_avg_factor=0.1
    )
    return {"keras": norm.moving_variance.numpy(), "fused": fused.numpy()}


def main() -> None:
    """Run all and write one file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    options = parser.parse_args()
    keras.utils.disable_interactive_logging()
    found: Arrays = {"versions": np.array([f"Keras {keras.__version__}", f"TensorFlow {tf.__version__}"])}
    for program in PROGRAMS.values():
        arrays = compute_logits(program) | (train(program) if program.steps else {})
        found |= {f"{program.name}/{name}": value for name, value in arrays.items()}
        print(f"{program.name}: logits within {np.abs(found[f'{program.name}/logits']).max():.2f}", flush=True)
    found |= {f"lrn/{name}": value for name, value in local_response_norm().items()}
    found |= {f"moving/{name}": value for name, value in moving_variances().items()}
    options.file.parent.mkdir(parents=True, exist_ok=True)
    np.savez(options.file, **found)


if __name__ == "__main__":
    main()
