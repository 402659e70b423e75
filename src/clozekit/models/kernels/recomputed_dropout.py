"""The random numbers of dropout in compiled blocks with activation checkpointing."""

import torch._functorch.config as functorch_config


def use_default_generator() -> None:
    """Makes compiled blocks draw recomputed dropout from the default generator of a GPU.

    By default torch gives them generators of their own, which CUDA graphs can use. It seeds them
    only once, at the first call. So the seed of a micro-batch has no effect on them, and a resumed
    run would differ from one that was not interrupted.
    """
    if hasattr(functorch_config, "graphsafe_rng_functionalization"):
        functorch_config.graphsafe_rng_functionalization = False
