"""Score matching in Flax: networks, training, and a network as a denoiser."""

from jaxwin.learned._classifier import (
    Classifier as Classifier,
    TrainedClassifier as TrainedClassifier,
    train_classifier as train_classifier,
)
from jaxwin.learned._config import Network as Network, Training as Training
from jaxwin.learned._denoiser import NetworkDenoiser as NetworkDenoiser
from jaxwin.learned._fit import Watch as Watch
from jaxwin.learned._levels import (
    AbstractLevels as AbstractLevels,
    EvenLogSNR as EvenLogSNR,
    EvenTime as EvenTime,
    LogNormal as LogNormal,
)
from jaxwin.learned._mlp import MLP as MLP
from jaxwin.learned._random_features import RandomFeatures as RandomFeatures
from jaxwin.learned._train import (
    Trained as Trained,
    load as load,
    save as save,
    train as train,
)
from jaxwin.learned._unet import UNet as UNet
