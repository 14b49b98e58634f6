"""Learning: networks, training, export. Needs the extra `train`."""
