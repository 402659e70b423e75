"""How the encoder is computed fast; each kernel gives the same result as a plain one."""
