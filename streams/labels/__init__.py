"""What reviewers say about verdicts: joined to them, counted into live precision and recall, held against the calibration."""
