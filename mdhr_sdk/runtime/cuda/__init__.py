"""CUDA without a framework: devices, memory, TensorRT engines."""
