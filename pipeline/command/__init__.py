"""Code that both command lines share: options, progress and a clean stop."""
