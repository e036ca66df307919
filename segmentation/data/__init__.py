"""Training samples: from photos and from videos, their mixture and their transforms."""
