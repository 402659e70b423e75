"""How answers and entities are scored."""
