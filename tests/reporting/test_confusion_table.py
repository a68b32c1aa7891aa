"""The confusion matrix of a few classes is a table with names and numbers."""

import re

import numpy as np

from levit.reporting.confusion_table import confusion_table


def cells(table: str) -> list[list[str]]:
    rows = re.findall(r"<tr>(.*?)</tr>", table)[1:]
    return [re.findall(r"<td[^>]*>([^<]*)</td>", row) for row in rows]


def test_rows_have_the_names_and_all_numbers():
    table = confusion_table(np.array([[5, 1], [0, 1200]]), ["<cat>", "dog"], [0, 0])
    assert cells(table) == [["5", "1", "6"], ["", "1,200", "1,200"]]
    assert "<cat>" not in table
    assert table.count("&lt;cat&gt;") >= 3
    assert 'title="&lt;cat&gt; predicted as dog: 1 of 6"' in table
    assert "other classes" not in table


def test_images_that_were_predicted_as_other_classes_have_a_column():
    table = confusion_table(np.array([[5, 1], [0, 0]]), ["cat", "dog"], [4, 2])
    assert cells(table) == [["5", "1", "4", "10"], ["", "", "2", "2"]]
    assert "<span>other classes</span>" in table


def test_mistakes_have_another_color_than_correct_predictions():
    table = confusion_table(np.array([[3, 1], [0, 4]]), ["cat", "dog"], [0, 0])
    colors = re.findall(r"rgb\((\d+) (\d+) (\d+) / ([\d.]+)\)", table)
    assert [color[:3] for color in colors] == [("11", "110", "79"), ("194", "64", "58"), ("11", "110", "79")]
    assert [float(color[3]) for color in colors] == [0.87, 0.5, 1]
