"""Compiled loops of equivariant networks in training; ``ops`` makes torch operations of them."""
