"""From shards and labelled files to batches: order, pairs, masking, batches and DataModules."""
