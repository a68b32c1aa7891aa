"""Classify photos from Python, and report unreadable files.

python examples/classify.py examples/*.jpg
"""

import sys

import levit

classify = levit.Classifier()  # the embedded model; or an exported file, or a checkpoint
for prediction in classify.stream(sys.argv[1:]):
    if prediction.error:
        print(prediction.error)
    else:
        best = prediction.top(1)[0]
        print(f"{prediction.source}: {best.name} ({best.score:.0%})")
