"""Sweeps: jobs that are single runs in processes of their own, and the record of what they did."""
