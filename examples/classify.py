"""Classify photos from Python, and report unreadable files.

python examples/classify.py examples/*.jpg
"""

import argparse

import levit

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("photos", nargs="+")
photos = parser.parse_args().photos

classify = levit.Classifier()  # the embedded model; or an exported file, or a checkpoint
for prediction in classify.stream(photos):
    if prediction.error:
        print(prediction.error)
    else:
        best = prediction.top(1)[0]
        print(f"{prediction.source}: {best.name} ({best.score:.0%})")
