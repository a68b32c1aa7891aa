"""Programs of docs/how-to, run as documented."""

import json
import re

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file

import levit
from tests.conftest import EXAMPLES, ROOT
from tests.exporting.hues import train, write_pictures

HOW_TO = ROOT / "docs" / "how-to"


def test_each_program_in_examples_is_in_one_page():
    """Short ones as they are, because the repository shows pages without the site's generator; others as a part of them
    and a link."""
    pages = [page.read_text(encoding="utf-8") for page in HOW_TO.glob("*.md")]
    blocks = [re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE) for page in pages]
    for file in EXAMPLES.glob("*.py"):
        program, link = file.read_text(encoding="utf-8"), f"blob/main/examples/{file.name})"
        whole = [program in parts for parts in blocks]
        excerpts = [
            link in page and any(part in program for part in parts) for page, parts in zip(pages, blocks, strict=True)
        ]
        assert sum(whole) + sum(excerpts) == 1, f"copy {file.name}, or a part of it beside a link, into its page"


@pytest.mark.slow
def test_network_prints_labels_features_and_attentions(run):
    output = run(EXAMPLES / "network.py", "cat.jpg", "facebook/levit-128S")
    assert len(re.findall(r"^ *[\d.]+%  \w+", output, re.MULTILINE)) == 5
    assert "[(196, 128), (49, 256), (16, 384), (16, 384)]" in output
    assert "(4, 196, 196)" in output


@pytest.mark.slow
def test_explain_draws_a_picture_for_each_of_two_labels(run, tmp_path):
    lines = run(EXAMPLES / "explain.py", EXAMPLES / "espresso.jpg").splitlines()
    assert re.fullmatch(r"espresso \(\d+%\): most at x \d+, y \d+", lines[0])
    assert len(lines) == len(list(tmp_path.glob("espresso-*.png"))) == 2


@pytest.mark.slow
def test_distill_prints_a_loss(run):
    assert re.fullmatch(r"loss: \d+\.\d+\n", run(EXAMPLES / "distill.py"))


@pytest.mark.slow
def test_quantize_writes_a_file_with_its_accuracy(run, tmp_path):
    data = {"quantization-data": 60, "evaluation": 150}
    options = (part for name in data for part in (f"--{name}", write_pictures(tmp_path / name, count=data[name])))
    output = run(EXAMPLES / "quantize.py", train(tmp_path / "hues"), "fast.onnx", *options)
    before, after, count = re.search(
        r"^top-1 (.+) % in fp32, (.+) % in int8, of (\d+) photos$", output, re.MULTILINE
    ).groups()
    assert float(after) >= float(before) - 0.5
    assert levit.Classifier(tmp_path / "fast.onnx").artifact.accuracy.images == int(count)


@pytest.fixture
def photos(tmp_path):
    """Forty small images of two classes that differ in color."""
    generator = np.random.default_rng(0)
    for name, color in (("sea", (30, 60, 180)), ("sand", (200, 170, 90))):
        folder = tmp_path / "photos" / name
        folder.mkdir(parents=True)
        for number in range(20):
            pixels = np.clip(generator.normal(color, 25, (40, 48, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
    return tmp_path / "photos"


@pytest.fixture
def start(tmp_path):
    """Checkpoint of a small untrained network, with three classes that the photos do not have."""
    torch.manual_seed(0)
    config = levit.LevitConfig(
        image_size=32, hidden_sizes=[32, 48, 64], key_dim=[8] * 3, depths=[1] * 3, num_labels=3, drop_path_rate=0.1
    )
    levit.LevitForImageClassificationWithTeacher(config).save_pretrained(tmp_path / "start")
    processor = levit.LevitImageProcessor(size={"shortest_edge": 32}, crop_size=32)
    processor.save_pretrained(tmp_path / "start")
    return tmp_path / "start"


@pytest.mark.slow
def test_fine_tune_writes_a_checkpoint_that_other_programs_read(run, photos, start, tmp_path):
    options = ("--model", start, "--epochs", "8", "--batch-size", "8", "--learning-rate", "3e-3")
    output = run(EXAMPLES / "fine_tune.py", photos, tmp_path / "out", *options)
    assert float(re.search(r"^accuracy: ([\d.]+)%", output, re.MULTILINE)[1]) >= 75

    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["architectures"] == ["LevitForImageClassificationWithTeacher"]
    assert config["id2label"] == {"0": "sand", "1": "sea"}
    assert load_file(tmp_path / "out" / "model.safetensors")["classifier_distill.linear.weight"].shape == (2, 64)

    images = torch.randn(2, 3, 32, 32)
    loaded = levit.LevitForImageClassificationWithTeacher.from_pretrained(tmp_path / "out")
    stock = transformers.LevitForImageClassificationWithTeacher.from_pretrained(tmp_path / "out")
    with torch.no_grad():
        assert torch.equal(stock(images).logits, loaded(images).logits)
    predict = levit.Classifier(tmp_path / "out")
    predicted = [predict(photos / name / "0.png").top(1)[0].name for name in ("sand", "sea")]
    assert predicted == ["sand", "sea"]


@pytest.mark.slow
def test_callbacks_write_a_table_of_steps_and_stop_at_a_goal(run, photos, start, tmp_path):
    """One accuracy in four, the goal of the test, is that of guessing."""
    program = (EXAMPLES / "callbacks.py").read_text(encoding="utf-8").replace("StopAtGoal(0.95)", "StopAtGoal(0.25)")
    (tmp_path / "program.py").write_text(program, encoding="utf-8")
    output = run("program.py", photos, "run", start, "9")
    epochs = int(re.fullmatch(r"run: [\d.]+ % after epoch \d of (\d)\n", output)[1])
    assert epochs < 9
    rows = [line.split(",") for line in (tmp_path / "steps.csv").read_text().splitlines()]
    steps = [[str(epoch), str(step)] for epoch in range(1, epochs + 1) for step in (1, 2, 3)]  # of 16 of 36 images
    assert [row[:2] for row in rows] == steps
    assert all(float(value) > 0 for row in rows for value in row[2:])


@pytest.mark.slow
def test_jax_train_lowers_the_loss_and_writes_a_checkpoint(run, photos, tmp_path):
    pytest.importorskip("flax")
    output = run(
        EXAMPLES / "jax_train.py", photos, photos, tmp_path / "out", "--epochs", "8",
        "--batch-size", "8",
    )  # fmt: skip
    losses = [float(loss) for loss in re.findall(r"^epoch \d+: loss ([\d.]+), top-1 [\d.]+ %$", output, re.MULTILINE)]
    assert len(losses) == 8
    assert losses[-1] < 0.8 * losses[0]
    assert levit.read_checkpoint(tmp_path / "out").architecture.num_labels == 2
