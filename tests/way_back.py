"""A model of which only its classifier is known, for tests."""

from jaxwin.channels import AbstractObserved, Observed


class ClassifierOnly(AbstractObserved):
    """The U-turns of an exact law, without its label posteriors."""

    inner: Observed

    @property
    def has_exact_labels(self):
        return False

    def start(self, key):
        return self.inner.start(key)

    def log_label_prior(self):
        return self.inner.log_label_prior()

    def observe(self, key, x0, noise):
        return self.inner.observe(key, x0, noise)

    def resample(self, key, observation, noise):
        return self.inner.resample(key, observation, noise)

    def label_probabilities(self, x0):
        return self.inner.label_probabilities(x0)

    def label_log_posterior(self, observation, noise):
        raise AssertionError("there is no label posterior")

    def coordinate(self, noise):
        return self.inner.coordinate(noise)

    def noise_at(self, coordinate):
        return self.inner.noise_at(coordinate)

    def soft_labels(self, key, noises):
        raise AssertionError("there are no soft labels")
