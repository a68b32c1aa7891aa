"""Names of the nodes of the deployment graph: written by the graph builder, and used by quantization to select nodes.

The name of a node is the name of its layer or block followed by one of these suffixes; a linear layer is a matrix
product (`MATMUL`) and an addition that has the name of the layer.
"""

from __future__ import annotations

HEAD = "head"
POOL = "pool"  # the mean of the last tokens, from which the head computes the logits

MATMUL = ".matmul"
WEIGHT = ".weight"
BIAS = ".bias"

# Nodes of an attention block, in order.
SCORES = ".scores"
BIASED_SCORES = ".biased_scores"
SOFTMAX = ".softmax"
CONTEXT = ".context"

# Addition of a residual branch to its input.
RESIDUAL = ".residual"
