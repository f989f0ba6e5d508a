"""TensorRT engines, built from exported ONNX graphs."""
