"""Builds self-contained HTML pages from text that is never trusted."""
