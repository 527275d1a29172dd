"""The super-network: every operator of every block, one set of weights, trained by sampled paths."""

from archatlas.supernet.model import SuperNet
from archatlas.supernet.sampling import SAMPLERS, PathSampler
from archatlas.supernet.train import SuperNetConfig, load_supernet, train_supernet, weights_digest

__all__ = ["SAMPLERS", "PathSampler", "SuperNet", "SuperNetConfig", "load_supernet", "train_supernet", "weights_digest"]
