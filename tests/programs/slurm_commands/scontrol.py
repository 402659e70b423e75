"""Stands in for `scontrol`: writes down what it is asked for."""

import sys
from pathlib import Path

if __name__ == "__main__":
    with Path("scontrol.log").open("a") as file:
        file.write(" ".join(sys.argv[1:]) + "\n")
