"""Policies: heuristics and learned ones, behind `lepton_rl.core.policy.Policy`."""
