"""The dashboard: views show, ui draws, services is the one door to the engine."""
