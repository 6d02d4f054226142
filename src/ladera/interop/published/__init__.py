"""Published models by name."""
