"""How weights are changed: parameter groups and learning-rate schedules."""
