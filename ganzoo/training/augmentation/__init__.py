"""Augmentation of the images that discriminators see in training: DiffAugment, and ADA with its controller."""
