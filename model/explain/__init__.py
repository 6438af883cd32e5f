"""Pictures of why: one for each branch of the ensemble and one for all of it, each with a figure of how far it can be trusted."""
