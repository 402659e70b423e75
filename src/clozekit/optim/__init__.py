"""Parameter groups, gradient clipping and learning-rate schedules."""
