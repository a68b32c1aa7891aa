"""Draw where in a photo the best two labels are, one picture for each.

python examples/explain.py examples/cat.jpg
"""

import argparse
from pathlib import Path

import levit

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("photo", type=Path)
photo = parser.parse_args().photo

with levit.Classifier() as classify, levit.Explainer() as explain:
    for label in classify(photo).top(2):
        explanation = explain(photo, class_name=label.index)
        row, column = divmod(int(explanation.heat.argmax()), explanation.heat.shape[1])
        print(f"{label.name} ({label.score:.0%}): most at x {column}, y {row}")
        explanation.save(f"{photo.stem}-{label.index}.png")
