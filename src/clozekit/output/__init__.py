"""What the user sees: printed text, pictures, and the streams that they go to."""
