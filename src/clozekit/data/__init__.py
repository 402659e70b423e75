"""Shards and labelled files to batches: order, pairs, masking, the batch and the DataModules."""
