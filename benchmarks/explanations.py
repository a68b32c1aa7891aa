"""Checks of explanations by the embedded model, on test photos, as the literature asks for them.

    python benchmarks/explanations.py [CHECK …] [--record]      all checks by default

Needs ../shared/data. Writes explanations.json, whose other checks stay as they are.

- areas, slow_areas: area under the curve of the score while the most important parts are replaced first (deletion,
  lower is better) or shown first (insertion, higher is better), with two fills; beside maps without the model.
- quadrants: four photos tiled 2 x 2; how often the quadrant of a class has the largest part of its map.
- weights: rank correlation with the original map while the weights are shuffled, from the head to the stem.
- classes: rank correlation of the maps of the best two classes of an image.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

import levit
from explanation_maps import Array, Maps, Pixels, grid_of, reference_maps
from levit.data.open_data import open_data
from levit.explaining.masks import CELLS, apply_masks, blur
from levit.images.transform import read_and_preprocess
from recording import add_record_option, result_file, write_json

DATA = Path(__file__).parent.parent.parent / "shared" / "data" / "photos-val.parquet"

IMAGES = 200  # of the deletion and insertion areas
SLOW_IMAGES = 40  # of those for methods that take many passes, or torch
MOSAICS = 20
WEIGHT_IMAGES, CLASS_IMAGES = 6, 10
TRIED_PHOTOS = 5  # of each third class
KNOWN_SCORE = 0.5
STEPS = 8
SEED = 0


def test_images(count: int) -> list[Pixels]:
    """Network inputs of test photos that are spread evenly over the classes."""
    data = open_data(DATA)
    step = len(data) // count
    preprocessing = levit.Classifier().artifact.preprocessing
    items = islice(data, 0, step * count, step)
    return [read_and_preprocess(item.image, preprocessing) for item in items]


def areas() -> dict[str, Any]:
    """Mean deletion and insertion areas of the default method."""
    return _areas(("occlusion",), IMAGES)


def slow_areas() -> dict[str, Any]:
    """The same of the other methods, on fewer images."""
    return _areas(("cam", "rise", "gradient-attention", "rollout"), SLOW_IMAGES)


def _areas(names: tuple[str, ...], count: int) -> dict[str, Any]:
    maps = Maps()
    rows: dict[str, list[dict[str, float]]] = {}
    for index, pixels in enumerate(test_images(count)):
        best = maps.best_class(pixels)
        grids = {name: grid_of(maps.compute(name, pixels, best)) for name in names}
        grids |= reference_maps(pixels, seed=SEED + index)
        for name, grid in grids.items():
            rows.setdefault(name, []).append(curve_areas(maps, pixels, grid, best))
        if index % 10 == 9:
            means = {name: _means(values) for name, values in rows.items()}
            print(f"areas: {index + 1} of {count} images: {json.dumps(means)}", file=sys.stderr, flush=True)
    return {"images": count, **{name: _means(values) for name, values in rows.items()}}


def curve_areas(maps: Maps, pixels: Pixels, grid: Array, index: int) -> dict[str, float]:
    """Areas under the curves of the score of a class, by deletion and insertion, with blurred and gray fills."""
    order = np.argsort(-grid.ravel(), kind="stable")
    replaced = np.zeros((STEPS + 1, CELLS * CELLS), np.float32)
    for step in range(STEPS + 1):
        replaced[step, order[: round(step * CELLS * CELLS / STEPS)]] = 1
    masks = replaced.reshape(-1, CELLS, CELLS)
    masks = np.concatenate([masks, 1 - masks[1:-1]])  # the ends of both curves are the same images
    result = {}
    for name, fill in {"blurred": blur(pixels), "gray": np.full_like(pixels, 128)}.items():
        scores = maps.scores(apply_masks(pixels, fill, masks))[:, index]
        deletion = scores[: STEPS + 1]
        insertion = np.concatenate([deletion[-1:], scores[STEPS + 1 :], deletion[:1]])
        result[f"deletion, {name}"] = float(np.trapezoid(deletion, dx=1 / STEPS))
        result[f"insertion, {name}"] = float(np.trapezoid(insertion, dx=1 / STEPS))
    return result


def quadrants() -> dict[str, Any]:
    """Share of tiles in 2 x 2 mosaics whose class has the largest part of its map in the right quadrant.

    As in the grid pointing game (Böhle et al., 2021), the photos are those that the network names with certainty. It
    has twice its image size, with interpolated attention biases, so that it sees each photo at its usual size. The
    classes are others than those by which the method was chosen.
    """
    photos = _known_photos(4 * MOSAICS)
    maps = Maps.at_twice_the_size()
    hits: dict[str, list[bool]] = {"occlusion": [], "cam": []}
    ranks: list[int] = []
    for start in range(0, len(photos) - 3, 4):
        (first, second, third, fourth) = [pixels for pixels, _ in photos[start : start + 4]]
        mosaic = np.concatenate([np.concatenate([first, second], axis=1), np.concatenate([third, fourth], axis=1)])
        indices = [index for _, index in photos[start : start + 4]]
        scores = maps.scores(mosaic[None])[0]
        ranks += [int((scores > scores[index]).sum()) for index in indices]
        for name, values in hits.items():
            drawn = maps.compute_classes(name, mosaic, indices)
            values += [_largest_quadrant(grid) == quadrant for quadrant, grid in enumerate(drawn)]
        means = {name: round(float(np.mean(values)), 3) for name, values in hits.items()}
        print(f"quadrants: {len(ranks)} tiles: {means}", file=sys.stderr, flush=True)
    among_ten = round(float(np.mean(np.array(ranks) < 10)), 3)
    return {"tiles": len(ranks), "right": means, "class among the best ten of its mosaic": among_ten}


def _known_photos(count: int) -> list[tuple[Pixels, int]]:
    """Photos of different classes that the model names right with a score of at least 0.5, in random order."""
    maps = Maps()
    chosen: dict[int, Pixels] = {}
    tried: Counter[int] = Counter()
    for item in open_data(DATA):
        (label,) = item.labels
        if label % 3 or label in chosen or tried[label] == TRIED_PHOTOS:
            continue
        tried[label] += 1
        pixels = read_and_preprocess(item.image, maps.artifact.preprocessing)
        scores = maps.scores(pixels[None])[0]
        if scores.argmax() == label and scores[label] >= KNOWN_SCORE:
            chosen[label] = pixels
    pairs = [(pixels, label) for label, pixels in chosen.items()]
    order = np.random.default_rng(SEED).permutation(len(pairs))[:count]
    return [pairs[index] for index in order]


def _largest_quadrant(values: Array) -> int:
    positive = np.maximum(grid_of(values), 0)
    half = CELLS // 2
    sums = [positive[row : row + half, column : column + half].sum() for row in (0, half) for column in (0, half)]
    return int(np.argmax(sums))


def weights() -> dict[str, Any]:
    """Mean rank correlation with the original map after the weights of each part were shuffled, cumulatively."""
    images = test_images(WEIGHT_IMAGES)
    original = Maps(is_float=True)
    classes = [original.best_class(pixels) for pixels in images]
    before = {name: _all(original, name, images, classes) for name in original.methods}
    result: dict[str, Any] = {}
    for part, shuffled in original.shuffled_networks(SEED):
        result[part] = {
            name: _mean_correlation(before[name], _all(shuffled, name, images, classes)) for name in original.methods
        }
        print(f"weights: {part} {result[part]}", file=sys.stderr, flush=True)
    return {"images": len(images), "shuffled from the head to": result}


def classes() -> dict[str, Any]:
    """Mean rank correlation between the maps of the best and the second-best class of an image."""
    images = test_images(CLASS_IMAGES)
    maps = Maps()
    pairs = [np.argsort(-maps.scores(pixels[None])[0])[:2] for pixels in images]  # best first
    result = {}
    for name in maps.methods:
        first, second = (_all(maps, name, images, [int(pair[rank]) for pair in pairs]) for rank in (0, 1))
        result[name] = _mean_correlation(first, second)
    return {"images": len(images), "rank correlation": result}


def _all(maps: Maps, name: str, images: list[Pixels], indices: list[int]) -> list[Array]:
    return [maps.compute(name, pixels, index) for pixels, index in zip(images, indices, strict=True)]


def _mean_correlation(first: list[Array], second: list[Array]) -> float:
    values = [float(spearmanr(a.ravel(), b.ravel()).statistic) for a, b in zip(first, second, strict=True)]
    return round(float(np.nanmean(values)), 3)


def _means(rows: list[dict[str, float]]) -> dict[str, float]:
    return {key: round(float(np.mean([row[key] for row in rows])), 4) for key in rows[0]}


CHECKS: dict[str, Callable[[], dict[str, Any]]] = {
    check.__name__: check for check in (areas, quadrants, weights, classes, slow_areas)
}


def main() -> None:
    """Run the checks, print and record their results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checks", nargs="*", metavar="CHECK", choices=[*CHECKS, []])
    add_record_option(parser)
    arguments = parser.parse_args()
    file = result_file("explanations.json", is_recorded=arguments.record)
    results = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    for name in arguments.checks or CHECKS:
        start = time.perf_counter()
        results[name] = CHECKS[name]()
        print(json.dumps({name: results[name]}, indent=1))
        print(f"{name}: {time.perf_counter() - start:.0f} s", file=sys.stderr)
        write_json(file, results)


if __name__ == "__main__":
    main()
