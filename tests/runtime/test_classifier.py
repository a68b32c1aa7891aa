import gc
import itertools
import json
import os
import shutil
import threading
import time
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

import levit
from levit.errors import CheckpointError, ConfigError, EngineError, ImageError
from levit.runtime.classifier import Classifier
from levit.runtime.fake_engine import FakeEngine
from levit.runtime.prediction import Label, Prediction
from levit.spec.preprocessing import Preprocessing
from tests.conftest import EXAMPLES, GOLDEN, relative
from tests.runtime.small_model import LABELS, colors_card, colors_classifier, plain, write_checkpoint

TINY = GOLDEN / "tiny"
PRIMARY = {"red": plain(255, 0, 0), "green": plain(0, 255, 0), "blue": plain(0, 0, 255)}


def best(predictions) -> list[str | None]:
    return [None if prediction.error else prediction.top(1)[0].name for prediction in predictions]


def test_one_image_gives_one_prediction():
    prediction = colors_classifier()(PRIMARY["green"])
    assert prediction.source == "<ndarray 20x30x3>"
    assert prediction.error is None
    np.testing.assert_array_equal(prediction.logits, [0, 1, 0])
    assert prediction.top(1)[0].name == "green"


@pytest.mark.parametrize("kind", [list, tuple])
def test_a_list_gives_predictions_in_its_order(kind):
    images = [PRIMARY[color] for color in ("blue", "red", "blue", "green")]
    predictions = colors_classifier()(kind(images))
    assert isinstance(predictions, list)
    assert best(predictions) == ["blue", "red", "blue", "green"]


def test_an_empty_list_gives_no_predictions():
    assert colors_classifier()([]) == []


def test_a_single_bad_image_is_raised():
    with pytest.raises(ImageError, match=r"^missing\.jpg: no such file$"):
        colors_classifier()("missing.jpg")


@pytest.mark.parametrize("batch_size", [1, 2, 3, 16])
def test_bad_images_are_reported_in_their_place_and_the_others_answered(batch_size, tmp_path):
    (tmp_path / "half.jpg").write_bytes((EXAMPLES / "cat.jpg").read_bytes()[:9000])
    images = ["missing.jpg", PRIMARY["red"], tmp_path / "half.jpg", None, PRIMARY["blue"], b"", PRIMARY["green"]]
    predictions = list(colors_classifier().stream(images, batch_size=batch_size))
    assert best(predictions) == [None, "red", None, None, "blue", None, "green"]
    assert [prediction.source for prediction in predictions[:4]] == [
        "missing.jpg",
        "<ndarray 20x30x3>",
        str(tmp_path / "half.jpg"),
        "<NoneType>",
    ]
    failed = predictions[0]
    assert isinstance(failed.error, ImageError)
    assert str(failed.error) == "missing.jpg: no such file"
    assert failed.top(5) == []
    assert failed.logits.size == failed.scores.size == 0


def test_where_all_images_are_bad_the_engine_is_left_alone():
    classifier = colors_classifier()
    assert best(classifier.stream([b"", b"", b""], batch_size=2)) == [None] * 3
    assert classifier.engine.batches == []


def test_batches_are_as_large_as_asked_for_and_the_last_one_what_is_left():
    classifier = colors_classifier()
    list(classifier.stream([PRIMARY["red"]] * 10, batch_size=4))
    assert [len(batch) for batch in classifier.engine.batches] == [4, 4, 2]
    assert classifier.engine.batches[0].shape == (4, 3, 16, 16)


def test_the_size_of_the_batch_does_not_change_the_answers():
    images = list(np.random.default_rng(0).integers(0, 256, (23, 19, 31, 3), np.uint8))
    one_by_one = [colors_classifier()(image).logits for image in images]
    for batch_size in (1, 2, 5, 16, 100):
        predictions = colors_classifier().stream(images, batch_size=batch_size)
        np.testing.assert_array_equal([prediction.logits for prediction in predictions], one_by_one)


def test_a_batch_size_of_nothing_is_refused():
    with pytest.raises(ValueError, match="batch_size is 0: give at least 1"):
        next(colors_classifier().stream([], batch_size=0))


def decoding_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("levit-decode")]


def assert_decoding_threads_end() -> None:
    patience = time.monotonic() + 10
    while decoding_threads() and time.monotonic() < patience:
        time.sleep(0.01)
    assert decoding_threads() == []


def test_an_endless_stream_is_taken_from_only_as_far_as_needed():
    taken = 0

    def endless():
        nonlocal taken
        for color in itertools.cycle(PRIMARY.values()):
            taken += 1
            yield color

    stream = colors_classifier().stream(endless(), batch_size=4)
    assert taken == 0
    for answered, prediction in enumerate(itertools.islice(stream, 50), start=1):
        assert prediction.top(1)[0].name == list(PRIMARY)[(answered - 1) % 3]
        assert answered <= taken <= answered + 2 * 4
    stream.close()
    assert taken <= 50 + 2 * 4


def test_closing_a_stream_early_ends_its_threads():
    assert_decoding_threads_end()
    stream = colors_classifier(threads=3).stream(itertools.repeat(PRIMARY["red"]), batch_size=8)
    next(stream)
    assert 1 <= len(decoding_threads()) <= 3
    stream.close()
    assert_decoding_threads_end()


class SlowPhoto(os.PathLike):
    """A file that takes its time."""

    looks = 0

    def __fspath__(self) -> str:
        if threading.current_thread() in decoding_threads():
            time.sleep(0.03)
            self.looks += 1
        return str(EXAMPLES / "cat.jpg")


def test_closing_a_stream_early_leaves_the_waiting_images_unread():
    one, many = SlowPhoto(), SlowPhoto()
    list(colors_classifier(threads=1).stream([one]))
    stream = colors_classifier(threads=1).stream(itertools.repeat(many), batch_size=8)
    next(stream)
    stream.close()
    assert_decoding_threads_end()
    assert 8 <= many.looks / one.looks < 14  # 16 were taken


def test_a_stream_that_breaks_passes_the_error_on_and_ends_its_threads():
    def breaking():
        yield PRIMARY["red"]
        raise RuntimeError("the camera is gone")

    with pytest.raises(RuntimeError, match="the camera is gone"):
        list(colors_classifier().stream(breaking()))
    assert_decoding_threads_end()


def test_an_engine_that_fails_is_not_taken_for_a_bad_image():
    def failing(batch: np.ndarray) -> np.ndarray:
        raise EngineError("out of memory")

    with pytest.raises(EngineError, match="out of memory"):
        Classifier(FakeEngine(colors_card(), failing))([PRIMARY["red"]])


def test_the_limit_of_pixels_is_the_users():
    classifier = colors_classifier(max_pixels=599)
    with pytest.raises(ImageError, match="make it smaller, or raise max_pixels"):
        classifier(PRIMARY["red"])
    assert colors_classifier(max_pixels=600)(PRIMARY["red"]).error is None


def prediction_of(*logits: float) -> Prediction:
    return Prediction("image", np.array(logits, np.float32), tuple("abcdefgh"[: len(logits)]))


def test_scores_are_probabilities_also_of_huge_logits():
    for logits in ([1, 2, 3], [1000, 0, -1000], [-5000, -5000.5, -6000]):
        scores = prediction_of(*logits).scores
        assert scores.dtype == np.float32
        assert scores.sum() == pytest.approx(1)
        assert scores.argmax() == np.argmax(logits)
    np.testing.assert_allclose(prediction_of(0, np.log(3)).scores, [0.25, 0.75], rtol=1e-6)


def test_the_top_is_best_first_and_of_equals_the_first():
    top = prediction_of(0, 2, 1, 2, 2).top(4)
    assert [(label.name, label.index) for label in top] == [("b", 1), ("d", 3), ("e", 4), ("c", 2)]
    assert top[0] == Label("b", 1, top[1].score)
    assert all(isinstance(label.index, int) and isinstance(label.score, float) for label in top)


def test_the_top_holds_no_more_than_there_are_classes():
    prediction = prediction_of(3, 1, 2)
    assert [label.name for label in prediction.top(100)] == ["a", "c", "b"]
    assert sum(label.score for label in prediction.top(100)) == pytest.approx(1)
    assert len(prediction.top()) == 3
    assert len(prediction.top(2)) == 2


def test_predictions_can_be_looked_up_in_lists_and_sets():
    first, second = prediction_of(1, 2), prediction_of(1, 2)
    assert [second, first].index(first) == 1
    assert len({first, second}) == 2


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    return write_checkpoint(tmp_path / "fruit")


def test_the_model_inside_the_package_names_the_example():
    prediction = Classifier()(EXAMPLES / "espresso.jpg")
    assert prediction.source == str(EXAMPLES / "espresso.jpg")
    assert prediction.top(1)[0].name == "espresso"
    assert len(Classifier().labels) == len(prediction.logits)


def test_a_checkpoint_and_its_export_give_the_same_answer(checkpoint, tmp_path):
    levit.export(checkpoint, tmp_path / "fruit.onnx")
    photo = EXAMPLES / "cat.jpg"
    exported, folded, from_file = (
        Classifier(model, precision="fp32")(photo)
        for model in (tmp_path / "fruit.onnx", str(checkpoint), checkpoint / "model.safetensors")
    )
    assert exported.labels == folded.labels == LABELS
    assert relative(folded.logits, exported.logits) < 1e-6
    assert relative(from_file.logits, exported.logits) < 1e-6


def test_a_checkpoint_of_transformers_gives_the_answers_of_transformers():
    classifier = Classifier(TINY / "transformers", precision="fp32")
    with np.load(TINY / "expected.npz") as expected:
        assert relative(classifier.engine.run(np.load(TINY / "input.npy")), expected["logits"]) < 1e-4


def test_an_opened_engine_can_be_given(checkpoint):
    opened = Classifier(checkpoint)
    again = Classifier(opened.engine)
    assert again.artifact == opened.artifact
    np.testing.assert_array_equal(again(PRIMARY["red"]).logits, opened(PRIMARY["red"]).logits)


def test_a_second_opening_finds_the_folded_and_the_compiled_model(checkpoint):
    first = Classifier(checkpoint)(PRIMARY["red"])
    cache = Path(os.environ["LEVIT_CACHE"])

    def files() -> dict[Path, int]:
        return {file: file.stat().st_ino for file in cache.rglob("*") if file.is_file()}

    kept = files()
    assert {file.parent.name for file in kept} == {"folded", "compiled"}
    second = Classifier(checkpoint)(PRIMARY["red"])
    assert files() == kept
    assert relative(second.logits, first.logits) < 1e-6


@pytest.mark.parametrize("has_place", [False, True])
def test_without_a_cache_a_checkpoint_opens_all_the_same(checkpoint, tmp_path, monkeypatch, has_place):
    expected = Classifier(checkpoint)(PRIMARY["red"])
    (tmp_path / "file").touch()
    monkeypatch.setenv("LEVIT_CACHE", str(tmp_path / "file") if has_place else "")
    found = Classifier(checkpoint)(PRIMARY["red"])
    assert found.labels == LABELS
    assert relative(found.logits, expected.logits) < 1e-6


@pytest.mark.parametrize("name", ["missing.onnx", "missing.safetensors", "no/such-model", "facebook/levit-128S"])
def test_a_model_that_is_not_there_is_refused_by_its_name(name):
    with pytest.raises(CheckpointError, match="no such file") as caught:
        Classifier(name)
    assert str(caught.value).startswith(f"{name}: ")
    assert "\n" not in str(caught.value)


def write_identity(file: Path) -> None:
    info = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 3, 8, 8])
    out = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 3, 8, 8])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "other", [info], [out])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), file)


def test_an_onnx_file_of_others_is_refused_by_its_name_in_one_line(tmp_path):
    write_identity(tmp_path / "other.onnx")
    with pytest.raises(CheckpointError) as caught:
        Classifier(tmp_path / "other.onnx")
    assert str(caught.value) == (
        f"{tmp_path / 'other.onnx'}: not exported by levit (no levit.* metadata): "
        "export the checkpoint with `levit export`"
    )


def test_an_engine_of_others_is_refused():
    engine = FakeEngine(colors_card(), lambda batch: batch)
    engine.metadata = {"author": "somebody else"}
    with pytest.raises(CheckpointError, match=r"^not exported by levit"):
        Classifier(engine)


def test_a_damaged_export_is_refused_by_its_name(checkpoint, tmp_path):
    file = tmp_path / "half.onnx"
    levit.export(checkpoint, file)
    file.write_bytes(file.read_bytes()[:50_000])
    with pytest.raises(EngineError) as caught:
        Classifier(file)
    assert str(caught.value).startswith(f"{file}: OpenVINO cannot open it")
    assert "\n" not in str(caught.value)


def test_a_preprocessing_of_another_size_than_the_network_is_refused(checkpoint):
    shutil.copy(TINY / "transformers" / "preprocessor_config.json", checkpoint)
    with pytest.raises(ConfigError, match="preprocessing gives 112x112, but the network takes 32x32"):
        Classifier(checkpoint)


@pytest.mark.parametrize(
    ("preprocessing", "size"),
    [
        (Preprocessing(resize=20, crop=None), "the size of each image"),
        (Preprocessing(resize=20, crop=(20, 16)), "20x16"),
    ],
)
def test_an_artifact_whose_preprocessing_does_not_fit_is_refused(preprocessing, size):
    card = replace(colors_card(), preprocessing=preprocessing)
    with pytest.raises(ConfigError, match=f"preprocessing gives {size}, but the network takes 16x16"):
        Classifier(FakeEngine(card, lambda batch: batch))


def test_the_preprocessing_of_the_model_is_the_one_that_is_done(checkpoint):
    config = {"do_resize": True, "size": {"height": 32, "width": 32}, "crop_size": 32, "do_normalize": False}
    (checkpoint / "preprocessor_config.json").write_text(json.dumps(config))
    card = Classifier(checkpoint).artifact
    seen = FakeEngine(card, lambda batch: np.zeros((len(batch), len(LABELS)), np.float32))
    Classifier(seen)(PRIMARY["red"])
    np.testing.assert_array_equal(seen.batches[0][0], np.broadcast_to(np.array([1, 0, 0])[:, None, None], (3, 32, 32)))


@pytest.fixture
def shared_jpeg(tmp_path):
    file = tmp_path / "large.jpg"
    pixels = np.random.default_rng(0).integers(0, 256, (900, 1200, 3), np.uint8)
    Image.fromarray(pixels).save(file)
    return file


def test_one_opened_image_may_be_given_many_times(checkpoint, shared_jpeg):
    """It is decoded when it is first needed, and its file can be read by one thread at a time."""
    classify = Classifier(checkpoint, threads=4)
    expected = classify(shared_jpeg).logits
    with Image.open(shared_jpeg) as image:
        for prediction in classify([image] * 12):
            assert prediction.error is None
            np.testing.assert_allclose(prediction.logits, expected, atol=1e-5 + 0.05 * np.abs(expected).max())


def test_an_array_may_be_filled_again_while_it_waits(checkpoint):
    classify = Classifier(checkpoint, precision="fp32")
    frame = np.empty((80, 90, 3), np.uint8)

    def frames():
        for value in range(40):
            frame[:] = value * 6
            yield frame

    found = [prediction.logits for prediction in classify.stream(frames(), batch_size=8)]
    for value, logits in enumerate(found):
        alone = classify(np.full_like(frame, value * 6)).logits
        np.testing.assert_allclose(logits, alone, atol=1e-4)


def test_a_failed_prediction_does_not_keep_its_image(checkpoint):
    references = []

    def sources():
        for _ in range(3):
            source = Image.new("F", (9, 9))  # refused: floating-point pixels have no known range
            references.append(weakref.ref(source))
            yield source

    predictions = list(Classifier(checkpoint).stream(sources()))
    gc.collect()
    assert all(prediction.error for prediction in predictions)
    assert [reference() for reference in references] == [None] * 3


def test_stream_takes_no_single_image(checkpoint):
    classify = Classifier(checkpoint)
    with pytest.raises(TypeError, match="stream takes many images"):
        classify.stream("photo.jpg")
    with pytest.raises(ValueError, match="batch_size is 0"):
        classify.stream([], batch_size=0)


def test_what_is_no_model_is_a_type_error():
    with pytest.raises(TypeError, match="model is a int"):
        Classifier(5)


def test_a_checkpoint_in_memory_is_opened(checkpoint):
    loaded = levit.read_checkpoint(checkpoint)
    photo = np.zeros((70, 80, 3), np.uint8)
    np.testing.assert_array_equal(Classifier(loaded)(photo).logits, Classifier(checkpoint)(photo).logits)


def test_a_damaged_copy_in_the_cache_is_made_anew(checkpoint):
    from levit.runtime.opening import find_artifact

    photo = np.zeros((70, 80, 3), np.uint8)
    expected = Classifier(checkpoint)(photo).logits
    cached = find_artifact(checkpoint)
    cached.write_bytes(cached.read_bytes()[:1000])
    np.testing.assert_array_equal(Classifier(checkpoint)(photo).logits, expected)


def test_an_artifact_whose_labels_do_not_fit_is_refused(checkpoint, tmp_path):
    levit.export(checkpoint, tmp_path / "x.onnx")
    model = onnx.load(tmp_path / "x.onnx")
    values = {pair.key: pair.value for pair in model.metadata_props} | {"levit.labels": '["one"]'}
    onnx.helper.set_model_props(model, values)
    onnx.save(model, tmp_path / "x.onnx")
    with pytest.raises(EngineError, match="1 labels"):
        Classifier(tmp_path / "x.onnx")(np.zeros((70, 80, 3), np.uint8))
