"""Sampling from trained networks: latents, styles, translations, sheets and animations."""
