"""Training by an extended Kalman filter: each error is weighed against all that came before."""
