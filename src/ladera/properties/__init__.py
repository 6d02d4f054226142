"""What potentials are for: answers, each with its unit, its error and its picture."""
