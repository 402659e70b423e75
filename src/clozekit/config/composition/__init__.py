"""From the command line to a composed configuration, through Hydra."""
