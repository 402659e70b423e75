"""Sentence pairs and whole sentences with masks, from a prepared corpus."""
