"""Sharing a run: its card, and its upload to Hugging Face."""
