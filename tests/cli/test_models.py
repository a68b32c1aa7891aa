"""The command `levit models`."""

import json
from pathlib import Path

from levit.checkpoints.cache import cache_folder
from levit.checkpoints.weight_lookup import HUB_NAMES, URLS
from levit.runtime.model_info import describe


def records(console) -> dict[str, dict]:
    return {record["name"]: record for record in map(json.loads, console("models", "--json").out.splitlines())}


def test_every_name_is_listed_with_its_size_and_accuracy(console):
    rows = records(console)
    assert list(rows) == ["-", "embedded", *HUB_NAMES, *URLS]
    assert rows["levit-256"] == {
        "name": "levit-256", "kind": "hub", "image_size": 224, "classes": 1000, "parameters": 18_893_876,
        "top1": 0.816, "data": "ImageNet", "is_cached": False,
    }  # fmt: skip
    assert rows["levit-192_3rdparty_in1k"]["top1"] == 0.7986  # of mmpretrain
    assert {rows[name]["kind"] for name in URLS} == {"facebook", "openmmlab"}
    classes = len(describe(None)[0].labels)
    assert (rows["-"]["kind"], rows["-"]["classes"], rows["-"]["is_cached"]) == ("embedded", classes, True)
    assert rows["-"]["top1"] > 0.4
    assert rows["embedded"] == {
        "name": "embedded", "kind": "embedded", "image_size": 96, "classes": classes, "parameters": 7_228_364,
        "top1": None, "data": "", "is_cached": True,
    }  # fmt: skip


def test_the_name_of_the_embedded_model_is_accepted(console, photos):
    assert console("info", "-").out == console("info").out
    result = console("predict", "a.png", "-m", "-", "--json")
    assert (result.code, result.err) == (0, "")
    assert result.out == console("predict", "a.png", "--json").out


def test_downloaded_models_are_marked(console, tmp_path, monkeypatch):
    (cache_folder("downloads") / Path(URLS["LeViT-128S.pth"]).name).touch()
    revision = tmp_path / "models--facebook--levit-192" / "snapshots" / "1"
    revision.mkdir(parents=True)
    (revision / "pytorch_model.bin").touch()
    (tmp_path / "models--facebook--levit-192" / "refs").mkdir()
    (tmp_path / "models--facebook--levit-192" / "refs" / "main").write_text("1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    rows = records(console)
    assert {name for name, row in rows.items() if row["is_cached"]} == {"-", "embedded", "LeViT-128S.pth", "levit-192"}


def test_a_narrow_table_leaves_out_the_size_and_cuts_nothing(console, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    lines = console("models").out.splitlines()
    assert lines[0].split() == ["name", "top-1", "cached"]
    assert not any("…" in line or len(line) > 40 for line in lines)


def test_the_table_has_a_line_for_each_model(console):
    table, notes = console("models").out.split("Top-1 of ImageNet", 1)
    lines = table.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["-", "embedded", *HUB_NAMES, *URLS]
    assert lines[1].startswith("- (default) ")
    assert "embedded: its weights before quantization" in " ".join(notes.split())
    assert lines[2 + list(HUB_NAMES).index("levit-256") + 1].split() == ["levit-256", "18.9", "M", "81.6", "%", "no"]
