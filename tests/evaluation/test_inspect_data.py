"""`levit.inspect` summarizes labeled data as `levit data` does."""

import pytest
from PIL import Image

import levit
from levit.errors import ConfigError
from levit.evaluation import near_duplicates
from tests.conftest import EXAMPLES
from tests.data.datasets_on_disk import write_images


def test_paths_data_sets_and_splits_are_inspected(tmp_path):
    write_images(tmp_path, "train/cat/1.png", "train/dog/22.png", "val/cat/1.png")
    train, validation = levit.inspect(tmp_path, threads=2)
    assert (train.name, train.num_images, train.images_per_class) == ("train", 2, [1, 1])
    assert (validation.name, validation.num_images, validation.num_similar) == ("validation", 1, None)
    assert levit.inspect(tmp_path, split="val")[0].num_images == 1
    (opened,) = levit.inspect(levit.open_data(tmp_path, split="train"))
    assert (opened.name, opened.images_per_class) == ("all", [1, 1])


def test_near_duplicates_are_counted_across_splits_and_copies_are_not(tmp_path):
    for split, names in (("train", ("cat", "espresso")), ("val", ("rocket", "espresso"))):
        (tmp_path / split / "x").mkdir(parents=True)
        for name in names:
            (tmp_path / split / "x" / f"{name}.jpg").write_bytes((EXAMPLES / f"{name}.jpg").read_bytes())
    (tmp_path / "val" / "x" / "bad.jpg").write_text("no image")
    with Image.open(EXAMPLES / "cat.jpg") as photo:
        photo.save(tmp_path / "val" / "x" / "again.jpg", quality=60)
    train, validation = levit.inspect(tmp_path, similarity=0.98)
    assert (train.num_similar, train.similar_examples) == (0, [])
    assert (validation.num_duplicates, validation.num_bad, validation.num_similar) == (1, 1, 1)
    ((name, first, similarity),) = validation.similar_examples
    assert (name, first) == ("x/again.jpg", "train: x/cat.jpg")
    assert 0.98 <= similarity <= 1
    with pytest.raises(ConfigError, match="similarity is 2"):
        levit.inspect(tmp_path, similarity=2)


def test_features_are_computed_by_the_given_number_of_threads_and_once_for_each_content(tmp_path, monkeypatch):
    write_images(tmp_path, "x/1.png", "x/22.png", "x/copy.png")
    (tmp_path / "x" / "copy.png").write_bytes((tmp_path / "x" / "1.png").read_bytes())
    options, computed = [], []
    monkeypatch.setattr(
        near_duplicates, "Classifier", lambda **given: options.append(given) or levit.Classifier(**given)
    )
    levit.inspect(
        tmp_path,
        similarity=0.98,
        threads=1,
        embedding_progress=lambda embeddings: computed.extend(embeddings) or computed,
    )
    assert options == [{"threads": 1}]
    assert len(computed) == 2
