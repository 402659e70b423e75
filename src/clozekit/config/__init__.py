"""What a configuration may say: schemas of its closed groups, free of torch, and where it lies."""
