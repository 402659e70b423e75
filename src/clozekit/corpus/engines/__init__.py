"""What runs the tasks of a stage: processes of this machine, Slurm or Ray."""
