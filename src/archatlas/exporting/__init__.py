"""A trained network as files that work alone: ONNX, and weights with a description that rebuilds the module."""

from archatlas.exporting.card import NetworkCard
from archatlas.exporting.classifiers import Classifier, OnnxClassifier, TorchClassifier, open_classifier
from archatlas.exporting.export import Export, export_network
from archatlas.exporting.loading import load_network
from archatlas.exporting.prediction import ImagePrediction, predict_images

__all__ = [
    "Classifier",
    "Export",
    "ImagePrediction",
    "NetworkCard",
    "OnnxClassifier",
    "TorchClassifier",
    "export_network",
    "load_network",
    "open_classifier",
    "predict_images",
]
