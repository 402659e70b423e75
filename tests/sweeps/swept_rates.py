"""Two learning rates that tests sweep over, and the names of their jobs."""

LEARNING_RATES = "optimizer.lr=1e-3,1e-4"

ONE, OTHER = "optimizer.lr-0.001", "optimizer.lr-0.0001"
