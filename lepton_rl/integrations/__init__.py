"""Integrations: where tasks really run (local processes; later Ray, Slurm, HTTP)."""
