"""Shows the data of a run as the model gets it."""
