"""Vocabularies: trained, extended, read and checked, and how text is encoded with them."""
