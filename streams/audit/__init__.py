"""The independent verifier: counts from topics and store alone whether every accepted reference has exactly one outcome."""
