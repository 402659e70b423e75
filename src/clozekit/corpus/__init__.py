"""Converts text to token shards: readers, sentence splitting, vocabulary, shards and manifest."""
