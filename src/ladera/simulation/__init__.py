"""Using a potential: ASE calculator, relaxation and molecular dynamics."""
