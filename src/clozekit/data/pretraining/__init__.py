"""Masked sentence pairs and masked full sentences from a prepared corpus."""
