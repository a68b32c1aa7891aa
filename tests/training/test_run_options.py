"""Options that are not given: what follows from a resumed run, the hub and the data."""

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

import levit
from levit.data.labeled_images import LabeledImage
from levit.errors import ConfigError, DataError
from levit.training.datasets import TrainingData, open_training_data
from levit.training.option_groups import DataOptions
from levit.training.options import TrainingOptions
from levit.training.output_directory import write_arguments
from levit.training.recipe import read_recipe
from levit.training.run_options import complete_options, count_images, every_option, find_resumed_run
from tests.data.listed_dataset import ListedDataset
from tests.training.runs import StopAfterSteps, assert_same_run


@pytest.fixture
def values(network):
    """Options of a run of two steps and no files outside the run directory."""
    return {
        "model": str(network), "epochs": 2, "batch_size": 16, "precision": "fp32", "workers": 0, "report_to": "none",
        "evaluation": False, "keep_state": True, "ema": 0.8,
    }  # fmt: skip


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_run_without_a_name_gets_a_new_folder(colors, values, here):
    first = levit.train(colors, **values, seed=1)
    second = levit.train(data=str(colors), **values)
    assert (first.folder, second.folder) == (Path("runs/train"), Path("runs/train2"))
    assert read_recipe("runs/train/args.yaml")["out"] == "runs/train"
    assert read_recipe("runs/train/args.yaml")["seed"] == 1


@pytest.mark.slow
def test_resume_without_a_folder_continues_the_last_incomplete_run_with_its_options(colors, values, here, capsys):
    levit.train(colors, **values, out="whole")
    assert levit.train(colors, **values).is_complete
    assert not levit.train(colors, **values, callbacks=[StopAfterSteps(4)]).is_complete
    resumed = levit.train(resume=True)
    assert resumed.folder == Path("runs/train2")
    assert resumed.is_complete
    assert "resumes epoch 2" in capsys.readouterr().err
    assert_same_run("whole", "runs/train2")
    with pytest.raises(ConfigError, match=r"^resume is given, and no run in runs/ is incomplete: give its run"):
        levit.train(resume=True)
    assert levit.train(colors, **values, resume=True).folder == Path("runs/train3")  # a new one


def test_a_given_option_that_differs_from_the_resumed_run_is_an_error(colors, values, here):
    levit.train(colors, **values, callbacks=[StopAfterSteps(1)])
    with pytest.raises(ConfigError, match=r"^runs.train cannot resume with other values of `epochs`"):
        levit.train(resume=True, epochs=3)


@pytest.mark.parametrize("resume", [False, True])
def test_a_run_is_not_a_training_set(here, resume):
    Path("runs/photos").mkdir(parents=True)
    write_arguments(TrainingOptions.from_flat(data="photos", out="runs/photos"), "")
    with pytest.raises(ConfigError, match=r"^data is runs/photos, a run: give it as `out` with `resume` to continue"):
        levit.train("runs/photos", resume=resume)


def test_options_are_checked_beside_those_of_the_resumed_run(here):
    first = TrainingOptions.from_flat(
        data="photos", out="run", teacher="t", unlabeled="more", tau=2.0, distillation="soft"
    )
    Path("run").mkdir()
    write_arguments(first, "")
    values = {"resume": True, "out": Path("run"), "unlabeled": "moved"}
    options, given = find_resumed_run(values, values)
    assert options == first.with_values(unlabeled="moved", resume=True)
    assert set(given) == set(every_option(options))
    with pytest.raises(ConfigError, match=r"^unlabeled is moved, which has no effect without a teacher"):
        find_resumed_run(values | {"out": "other", "data": "photos"}, values)
    with pytest.raises(ConfigError, match=r"^unlabeled is moved, which has no effect without a teacher"):
        find_resumed_run(values | {"teacher": None}, [*values, "teacher"])
    with pytest.raises(ConfigError, match=r"^epochs is 0: must be at least 1"):
        find_resumed_run(values | {"epochs": 0}, [*values, "epochs"])


@pytest.mark.parametrize(
    ("counts", "expected"), [((2, 2), (2, 2)), ((20, 20, 20), (54, 6)), ((1, 1), (2, 0)), ((5,) * 20, (80, 20))]
)
def test_validation_images_are_at_least_one_of_every_class(here, counts, expected):
    for label, count in enumerate(counts):
        (here / "photos" / str(label)).mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (8, 8)).save(here / "photos" / str(label) / f"{number}.png")
    data = open_training_data(DataOptions(data="photos"))
    assert count_images(data, TrainingOptions()) == expected
    assert count_images(data, TrainingOptions.from_flat(val_share=0.0)) == (sum(counts), 0)


def test_every_class_keeps_a_training_image_whatever_the_share(here):
    for name in ("a", "b"):
        write_images(here / "photos" / name, 2)
    options = TrainingOptions.from_flat(data="photos", val_share=0.9)
    data = open_training_data(options.data)
    assert count_images(data, options) == (2, 2)
    one = SimpleNamespace(is_main_process=False, num_processes=1, device=torch.device("cpu"))
    assert complete_options(options, {"data", "val_share", "model"}, data, one).optimizer.batch_size == 2


def test_rows_without_any_label_are_an_error_without_a_teacher_and_with_one():
    rows = ListedDataset([LabeledImage(b"", (), "a")] * 20, name="rows")
    for options in (TrainingOptions(), TrainingOptions.from_flat(teacher="run")):
        with pytest.raises(DataError, match=r"^rows: no image has a label: `levit data` shows what it contains$"):
            count_images(TrainingData(rows, None), options)


def write_images(folder, count):
    folder.mkdir(parents=True)
    for number in range(count):
        Image.new("RGB", (8, 8)).save(folder / f"{number}.png")


def test_images_without_labels_count_with_a_teacher_and_those_of_no_class_always(here):
    for name, count in {"photos/a": 8, "photos/b": 12, "photos/unlabeled": 40, "more": 5, "others": 3}.items():
        write_images(here / name, count)
    further = DataOptions(data="photos", unlabeled="more", outliers="others")
    teacher = TrainingOptions.from_flat(teacher="run")
    assert count_images(open_training_data(DataOptions(data="photos")), TrainingOptions()) == (18, 2)
    assert count_images(open_training_data(further), TrainingOptions()) == (21, 2)
    assert count_images(open_training_data(further, keeps_unlabeled=True), teacher) == (66, 2)
    write_images(here / "val" / "a", 7)
    write_images(here / "val" / "b", 7)
    separate = open_training_data(replace(further, val="val"), keeps_unlabeled=True)
    assert count_images(separate, teacher) == (68, 14)


@pytest.mark.parametrize(("factor", "expected"), [(1, (18, 2)), (1000, (54_000, 6000))])
def test_labels_are_counted_in_few_images_only_where_counting_reads_them(factor, expected):
    rows = ListedDataset([LabeledImage(b"", (0,), "a")] * 20 * factor + [LabeledImage(b"", (), "b")] * 40 * factor)
    assert count_images(TrainingData(rows, None), TrainingOptions()) == expected


def test_logits_of_a_teacher_are_not_kept_on_several_machines(colors, monkeypatch):
    options = TrainingOptions.from_flat(data=str(colors), model="levit-256", teacher="run", teacher_views=2)
    data = open_training_data(options.data)
    two = SimpleNamespace(is_main_process=True, num_processes=2, device=torch.device("cpu"))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    complete_options(options, every_option(options), data, two)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1")
    match = r"^teacher_views is 2, and the processes run on several machines: leave out `teacher_views`$"
    with pytest.raises(ConfigError, match=match):
        complete_options(options, every_option(options), data, two)


def test_the_data_that_cannot_be_read_leaves_no_folder(values, here):
    with pytest.raises(levit.LevitError, match="missing"):
        levit.train("missing", **values)
    assert list(here.iterdir()) == []


def test_data_is_given_once(colors, values):
    with pytest.raises(ConfigError, match=r"^data is given twice"):
        levit.train(colors, data=str(colors), **values)


def test_without_data_the_error_says_how_to_give_it(values):
    with pytest.raises(ConfigError, match=r"^data is missing"):
        levit.train(**values)


@pytest.mark.slow
def test_without_a_network_and_a_model_the_embedded_weights_are_trained(colors, here, monkeypatch, capsys):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(here))
    few = here / "few"
    for name in ("red", "blue"):
        (few / name).mkdir(parents=True)
        for image in sorted((colors / "train" / name).iterdir())[:2]:
            shutil.copy(image, few / name)
    run = levit.train(few, epochs=1, workers=0, report_to="none", image_size=32, val_share=0.5)
    assert "the weights of levit-128s cannot be downloaded: the training starts from those in the package" in (
        capsys.readouterr().err
    )
    assert read_recipe(run.folder / "args.yaml")["model"] == "embedded"
    assert levit.read_checkpoint(run.folder).labels == ("blue", "red")
