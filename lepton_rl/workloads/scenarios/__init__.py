"""The six workload scenarios of the seed: a generated workload on a cluster of unlike machines."""
