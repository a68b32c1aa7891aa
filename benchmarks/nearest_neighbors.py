"""Accuracy of the nearest neighbors by pooled features: what they are worth for classes that a model does not know.

python benchmarks/nearest_neighbors.py cifar10-train.parquet cifar10-test.parquet [--model MODEL]
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from itertools import islice

import numpy as np
from numpy.typing import NDArray

import levit
from levit.evaluation.similarity import unit_vectors

NEIGHBORS = (1, 5, 20)


def embed(classify: levit.Classifier, path: str, count: int) -> tuple[NDArray[np.float32], list[int]]:
    """Features and labels of the first images of a data set."""
    items = [item for item in islice(iter(levit.open_data(path)), count) if item.labels]
    return classify.embed([item.image for item in items]), [item.labels[0] for item in items]


def main() -> None:
    """Classify test images by the labels of the nearest training images, weighted by their similarity."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("train")
    parser.add_argument("test")
    parser.add_argument("--model")
    parser.add_argument("--num-train", type=int, default=10_000)
    parser.add_argument("--num-test", type=int, default=2_000)
    arguments = parser.parse_args()
    classify = levit.Classifier(arguments.model)
    features, labels = embed(classify, arguments.train, arguments.num_train)
    queries, expected = embed(classify, arguments.test, arguments.num_test)
    mean = features.mean(axis=0)
    similarities = unit_vectors(queries - mean) @ unit_vectors(features - mean).T
    correct = dict.fromkeys(NEIGHBORS, 0)
    for row, label in zip(similarities, expected, strict=True):
        nearest = np.argsort(-row)[: max(NEIGHBORS)]
        for count in NEIGHBORS:
            weights: dict[int, float] = defaultdict(float)
            for index in nearest[:count]:
                weights[labels[index]] += float(row[index])
            correct[count] += max(weights, key=weights.__getitem__) == label
    for count in NEIGHBORS:
        share = 100 * correct[count] / len(expected)
        print(f"{count:3} nearest of {len(labels):,}: {share:.1f} % of {len(expected):,}")


if __name__ == "__main__":
    main()
