"""Train a small LeViT in JAX with optax on images of 32x32 pixels, such as CIFAR-10.

python examples/jax_train.py cifar10-train.parquet cifar10-test.parquet my-levit/
"""

import argparse
from dataclasses import replace
from io import BytesIO

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from PIL import Image, ImageOps

import levit
import levit.jax

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("train")
parser.add_argument("validation")
parser.add_argument("out")
parser.add_argument("--epochs", type=int, default=5)
parser.add_argument("--batch-size", type=int, default=128)
parser.add_argument("--lr", type=float, default=2e-3)
parser.add_argument("--images", type=int, help="number of training images; default: all")
arguments = parser.parse_args()

SIZE, PADDING = 32, 4
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])  # those of the embedded model
preprocessing = replace(levit.read_checkpoint("embedded").preprocessing, resize=SIZE, crop=(SIZE, SIZE))


def read(path, split, count=None):
    """Read all images, or some of them, as uint8 [N, 32, 32, 3], with their labels and the names of the classes."""
    try:
        data = levit.open_data(path, split=split)
    except levit.DataError:  # a file has no splits
        data = levit.open_data(path)
    chosen = {*np.random.default_rng(0).permutation(len(data))[:count]}  # data may be ordered class by class
    items = [item for number, item in enumerate(data) if number in chosen]
    return np.stack([fit(item.image) for item in items]), np.array([item.labels[0] for item in items]), data.classes


def fit(image):
    """Read an array, or the path or content of an image file, as uint8 [32, 32, 3]."""
    if isinstance(image, np.ndarray):
        picture = Image.fromarray(image)
    else:
        picture = Image.open(BytesIO(image) if isinstance(image, bytes) else image).convert("RGB")
    return np.asarray(ImageOps.fit(picture, (SIZE, SIZE), Image.Resampling.BICUBIC))


def normalize(images):
    """Normalize uint8 [N, 32, 32, 3] to float32 [N, 3, 32, 32]."""
    return ((images / 255 - MEAN) / STD).astype(np.float32).transpose(0, 3, 1, 2)


def augment(images, generator):
    """Flip and shift a batch of images."""
    padded = np.pad(images, ((0, 0), (PADDING, PADDING), (PADDING, PADDING), (0, 0)), mode="reflect")
    shifts, flips = generator.integers(0, 2 * PADDING + 1, (len(images), 2)), generator.random(len(images)) < 0.5
    crops = [image[y : y + SIZE, x : x + SIZE] for image, (y, x) in zip(padded, shifts, strict=True)]
    return np.stack([crop[:, ::-1] if flip else crop for crop, flip in zip(crops, flips, strict=True)])


@nnx.jit
def train_step(model, optimizer, pixel_values, labels):
    def loss_of(model):
        return levit.jax.distillation_loss(model(pixel_values, train=True), labels, label_smoothing=0.1)

    loss, gradients = nnx.value_and_grad(loss_of)(model)
    optimizer.update(model, gradients)
    return loss


@nnx.jit
def predict(model, pixel_values):
    return model(pixel_values, train=False).logits.argmax(axis=-1)


def evaluate(model, images, labels):
    """Top-1 accuracy, a fraction."""
    batches = np.split(images, range(500, len(images), 500))
    predicted = [predict(model, jnp.asarray(normalize(batch))) for batch in batches]
    return np.mean(np.concatenate(predicted) == labels)


def is_decayed(path, weight):
    return weight.ndim > 1 and "attention_biases" not in jax.tree_util.keystr(path)


images, labels, classes = read(arguments.train, "train", arguments.images)
validation_images, validation_labels, validation_classes = read(arguments.validation, "validation")
if validation_classes != classes:
    raise SystemExit("the validation images have other classes")
config = levit.Architecture(
    image_size=SIZE, patch_size=4, hidden_sizes=(64, 96, 128), depths=(2, 2, 2), num_attention_heads=(2, 3, 4),
    num_labels=len(classes), num_classifiers=1,
)  # fmt: skip
model = levit.jax.LeViT(config, labels=classes, preprocessing=preprocessing, rngs=nnx.Rngs(0))

batch_size = min(arguments.batch_size, len(images))
steps = len(images) // batch_size
total = max(2, arguments.epochs * steps)
schedule = optax.warmup_cosine_decay_schedule(0.0, arguments.lr, min(steps, total // 2), total)
adamw = optax.adamw(
    schedule, weight_decay=0.025, mask=lambda weights: jax.tree_util.tree_map_with_path(is_decayed, weights)
)
optimizer = nnx.Optimizer(model, adamw, wrt=nnx.Param)

for epoch in range(arguments.epochs):
    generator = np.random.default_rng(epoch)
    losses = []
    for batch in generator.permutation(len(images))[: steps * batch_size].reshape(steps, -1):
        pixel_values = normalize(augment(images[batch], generator))
        losses.append(train_step(model, optimizer, jnp.asarray(pixel_values), jnp.asarray(labels[batch])))
    accuracy = evaluate(model, validation_images, validation_labels)
    print(f"epoch {epoch + 1}: loss {float(jnp.mean(jnp.stack(losses))):.3f}, top-1 {100 * accuracy:.1f} %", flush=True)

levit.jax.save(model, arguments.out)
