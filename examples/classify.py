"""Classify photos from Python, and report what cannot be read.

python examples/classify.py examples/*.jpg
"""

import sys

import levit

classify = levit.Classifier()  # the model inside the package; or an exported file, or a checkpoint
for prediction in classify.stream(sys.argv[1:]):
    if prediction.error:
        print(prediction.error)
    else:
        best = prediction.top(1)[0]
        print(f"{prediction.source}: {best.name} ({best.score:.0%})")
