"""The scheduler over HTTP; needs `pip install 'lepton-rl[serve]'`. See docs/serve.md."""
