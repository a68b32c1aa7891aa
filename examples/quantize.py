"""Export a checkpoint to int8, and measure the change in accuracy on labeled photos.

python examples/quantize.py my-levit/ fast.onnx --quantization-data photos/ --evaluation validation/
"""

import argparse

import levit

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("checkpoint")
parser.add_argument("output")
parser.add_argument("--quantization-data", required=True, help="images that are typical for the application")
parser.add_argument("--evaluation", required=True, help="a folder with one subfolder for each class")
arguments = parser.parse_args()

report = levit.export(
    arguments.checkpoint,
    arguments.output,
    weights="int8",
    quantization_data=arguments.quantization_data,
    evaluation=arguments.evaluation,
    max_drop=0.5,  # percentage points of top-1
)
print(f"{report.path}: {report.num_bytes / 1e6:.1f} MB")
after, quantization = report.artifact.accuracy, report.artifact.quantization
if after and quantization and quantization.fp32:  # measured, because labeled photos were given
    before = quantization.fp32
    print(f"top-1 {100 * before.top1:.2f} % in fp32, {100 * after.top1:.2f} % in int8, of {after.images} photos")
    print(f"the same prediction for {100 * quantization.agreement:.1f} %")
    print(f"returned to floating point: {', '.join(quantization.float_layers) or 'nothing'}")

classify = levit.Classifier(report.path)  # needs neither torch nor NNCF
print(classify.engine.reason)
