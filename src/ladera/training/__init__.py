"""Training a potential: configuration, loss, trainer, evaluation."""
