"""Inference without torch: images in, labels out."""

import sys

# Importing OpenVINO or NNCF tells their maker so, by default, over the network and from a fork of this process. Both
# do without where the package that sends is not found; a program that has imported it already keeps it.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
