"""Fine-tune a LeViT on a folder of photos with transformers' Trainer, as run_image_classification does.

python examples/fine_tune.py PHOTOS OUT --model facebook/levit-128S --epochs 5

PHOTOS has one folder of images for each class, or such folders under train/ and validation/.
"""

import argparse

import numpy as np
import torch
from datasets import load_dataset
from torchvision.transforms import v2
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModelForImageClassification,
    Trainer,
    TrainingArguments,
    set_seed,
)

import levit

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("photos")
parser.add_argument("out")
parser.add_argument("--model", default="facebook/levit-128S")
parser.add_argument("--epochs", type=float, default=5)
parser.add_argument("--batch-size", type=int, default=32)
parser.add_argument("--learning-rate", type=float, default=5e-4)
options = parser.parse_args()

set_seed(0)
levit.register()  # the automatic classes of transformers then load LeViT; the rest is the same for any model

data = load_dataset("imagefolder", data_dir=options.photos)
if "validation" not in data:
    data = data["train"].train_test_split(test_size=0.2, stratify_by_column="label", seed=0)
    data["validation"] = data.pop("test")
names = data["train"].features["label"].names

config = AutoConfig.from_pretrained(
    options.model, id2label=dict(enumerate(names)), label2id={name: index for index, name in enumerate(names)}
)
model = AutoModelForImageClassification.from_pretrained(options.model, config=config, ignore_mismatched_sizes=True)
processor = AutoImageProcessor.from_pretrained(options.model)
size = (processor.crop_size["height"], processor.crop_size["width"])
augment = v2.Compose([v2.RandomResizedCrop(size, scale=(0.3, 1)), v2.RandomHorizontalFlip()])


def transform_train(batch):
    images = [augment(image.convert("RGB")) for image in batch["image"]]
    pixels = processor(images, do_resize=False, do_center_crop=False, return_tensors="pt")
    return {"pixel_values": pixels["pixel_values"], "labels": batch["label"]}


def transform_validation(batch):
    pixels = processor([image.convert("RGB") for image in batch["image"]], return_tensors="pt")
    return {"pixel_values": pixels["pixel_values"], "labels": batch["label"]}


def collate(examples):
    return {
        "pixel_values": torch.stack([example["pixel_values"] for example in examples]),
        "labels": torch.tensor([example["labels"] for example in examples]),
    }


def compute_accuracy(evaluation):
    return {"accuracy": float(np.mean(np.argmax(evaluation.predictions, axis=1) == evaluation.label_ids))}


trainer = Trainer(
    model=model,
    args=TrainingArguments(
        options.out,
        remove_unused_columns=False,  # the transforms need the images
        num_train_epochs=options.epochs,
        per_device_train_batch_size=options.batch_size,
        per_device_eval_batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        eval_strategy="epoch",
        save_strategy="no",
        report_to="none",
    ),
    train_dataset=data["train"].with_transform(transform_train),
    eval_dataset=data["validation"].with_transform(transform_validation),
    processing_class=processor,
    data_collator=collate,
    compute_metrics=compute_accuracy,
)
trainer.train()
print(f"accuracy: {trainer.evaluate()['eval_accuracy']:.1%}")
trainer.save_model(options.out)  # config.json, model.safetensors and preprocessor_config.json
