"""What a checkpoint says of its classes: data, until the user trusts the modules that it names."""
