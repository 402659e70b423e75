"""What happens around training steps: their seeds, their history, and what is shown of them."""
