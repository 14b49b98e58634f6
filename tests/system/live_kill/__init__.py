"""The proof that a live scheduler that is killed loses nothing: test_live_kill.py says how."""
