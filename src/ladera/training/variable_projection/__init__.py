"""Training by linear least squares inside a search for what is not linear."""
