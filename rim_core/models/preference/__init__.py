"""Preferences: p(y|x), what a user-state would choose next."""
