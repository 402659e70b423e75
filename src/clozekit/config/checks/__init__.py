"""What is refused before anything heavy is imported: wrong values, and keys that do nothing."""
