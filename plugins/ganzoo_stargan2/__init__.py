"""StarGAN v2. See README.md beside this file."""
