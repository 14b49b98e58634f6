"""`lepton-rl report`."""
