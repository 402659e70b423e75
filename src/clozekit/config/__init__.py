"""Configuration schemas, their checks, and the location of `conf/`. Does not import torch."""
