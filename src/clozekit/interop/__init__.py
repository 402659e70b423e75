"""Reads and writes model folders of other libraries."""
