"""lepton-rl."""
