"""From a view to numbers and back: features, window, mask. Shared by training and production."""
