"""Metrics that torchmetrics lacks: answers, entities, correlations."""
