"""Text to token shards: readers, sentences, the vocabulary, the shards and their manifest."""
