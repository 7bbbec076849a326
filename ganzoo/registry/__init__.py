"""Plugins: found, validated, and kept from harming one another."""
