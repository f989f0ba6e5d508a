"""ONNX graphs of a model folder: python export/to_onnx.py MODEL [--precision fp16] [--graph clip]."""

from mdhr_sdk.cli.app import app, run_app

if __name__ == "__main__":
    run_app(app, "export", "--format", "onnx")
