"""A trained network as files that work alone: ONNX, and weights with a card that rebuilds the module."""
