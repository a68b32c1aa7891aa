"""Model cards of a run: when they are written, and that those of the user stay."""

import pytest

from levit.errors import CheckpointError
from levit.training.model_card_writer import CARD_FILE, ModelCardWriter, is_written_by_levit, write_card
from levit.training.progress import Progress
from tests.training.card_facts import FACTS, ROW, progress


@pytest.fixture
def run(tmp_path):
    (tmp_path / "ema").mkdir()
    return tmp_path


def test_the_cards_follow_the_epochs(run):
    writer = ModelCardWriter(run, FACTS)
    writer.on_checkpoint(Progress(step=3))
    assert not (run / CARD_FILE).exists()
    writer.on_checkpoint(progress(1))
    assert "not complete" in (run / CARD_FILE).read_text()
    writer.on_checkpoint(progress(2))
    best, average = (run / CARD_FILE).read_text(), (run / "ema" / CARD_FILE).read_text()
    assert "not complete" not in best + average
    assert "After epoch 1 of 2, the best one" in best
    assert "After epoch 2 of 2, the last one" in average
    assert "| top-1 accuracy | 50.00 % | 20.00 % |" in average
    assert sorted(path.name for path in run.iterdir()) == [CARD_FILE, "ema"]


def test_a_resumed_run_writes_the_cards_that_a_killed_process_left_out(run):
    ModelCardWriter(run, FACTS).on_checkpoint(progress(2))
    expected = (run / CARD_FILE).read_bytes()
    (run / CARD_FILE).unlink()
    ModelCardWriter(run, FACTS).on_checkpoint(progress(2))
    assert (run / CARD_FILE).read_bytes() == expected


def test_a_run_without_a_best_epoch_or_an_average_has_no_such_card(run):
    values = {"best": None, "best_epoch": 0, "best_weights": None}
    row = {name: value for name, value in ROW.items() if not name.startswith("ema_")}
    ModelCardWriter(run, FACTS).on_checkpoint(progress(1, history=[row], **values))
    assert not (run / CARD_FILE).exists()
    assert not (run / "ema" / CARD_FILE).exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("# pets", "# Pets of our street"),
        lambda text: text + "\nMore.\n",
        lambda text: text.partition("<!--")[0],
        lambda text: "# My own card\n",
        lambda text: "",
    ],
)
def test_a_card_that_was_changed_stays_as_it_is_and_a_line_says_so_once(run, change, capsys):
    writer = ModelCardWriter(run, FACTS)
    writer.on_checkpoint(progress(1))
    assert is_written_by_levit(run / CARD_FILE)
    changed = change((run / CARD_FILE).read_text()).encode()
    (run / CARD_FILE).write_bytes(changed)
    assert not is_written_by_levit(run / CARD_FILE)
    for epochs in (2, 3):
        writer.on_checkpoint(progress(epochs))
    assert (run / CARD_FILE).read_bytes() == changed
    assert capsys.readouterr().err.count(f"{run / CARD_FILE} was changed by hand, and stays as it is") == 1
    assert is_written_by_levit(run / "ema" / CARD_FILE)


def test_other_line_ends_are_no_change(run):
    """Git and editors may convert them."""
    write_card(run / CARD_FILE, "# pets\n")
    (run / CARD_FILE).write_bytes((run / CARD_FILE).read_bytes().replace(b"\n", b"\r\n"))
    assert is_written_by_levit(run / CARD_FILE)
    assert write_card(run / CARD_FILE, "# more pets\n")
    assert (run / CARD_FILE).read_text().startswith("# more pets\n")


@pytest.mark.parametrize("content", [b"\xff\xfe", None])
def test_what_is_no_text_stays_as_it_is(run, content):
    file = run / CARD_FILE
    if content is None:
        file.mkdir()
    else:
        file.write_bytes(content)
    assert not write_card(file, "# pets\n")
    assert file.is_dir() or file.read_bytes() == content


def test_a_card_that_cannot_be_written_is_an_error_of_one_line(run):
    (run / "ema").rmdir()
    with pytest.raises(CheckpointError, match=r"cannot be written .*: free space on the disk") as caught:
        ModelCardWriter(run, FACTS).on_checkpoint(progress(1))
    assert "\n" not in str(caught.value)
