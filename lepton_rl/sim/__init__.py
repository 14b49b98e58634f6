"""The compiled, batched simulator: the same rules as the live system, driven by a compiled loop."""
