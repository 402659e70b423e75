"""Predictions of a trained model on rows with or without labels."""
