"""The Classifier: weights, preprocessing and class names in one file. It is tested, predicts, is exported and served.

Importing this room imports no torch; loading a torch model file does, an ONNX file does not.
"""

from __future__ import annotations

from sightline.classifier.classifier import Backend, Classifier, ImageSource, Prediction
from sightline.classifier.load import ONNX_SUFFIX, load

__all__ = ["ONNX_SUFFIX", "Backend", "Classifier", "ImageSource", "Prediction", "load"]
