"""What a trained model makes of rows, with labels and without."""
