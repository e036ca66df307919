"""Photos and masks: their listing, their safe decoding, and records of their contents."""
