"""Photos and masks: where they lie, in which order, and how their bytes become arrays."""
