"""Faster forms of plain operations; each is tested against its plain form."""
