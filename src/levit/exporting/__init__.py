"""Export of checkpoints to verified ONNX files, with weights in fp32 or fp16 or quantized to int8."""
