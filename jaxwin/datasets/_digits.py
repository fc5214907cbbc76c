from typing import Any

from jaxwin.datasets._data import Data, from_arrays


def digits() -> Data:
    """The 1,797 images of 8 x 8 with values 0 to 16 that come with scikit-learn."""
    from sklearn.datasets import load_digits

    bunch: Any = load_digits()
    return from_arrays(bunch.images, bunch.target, name="digits")
