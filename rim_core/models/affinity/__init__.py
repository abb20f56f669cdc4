"""Affinities: λ(x, y) in one piece."""
