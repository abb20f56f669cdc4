"""Intensities: λ(x), how many events a user-state has in the horizon."""
