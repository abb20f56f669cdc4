"""One page a file; no logic that the engine lacks."""
