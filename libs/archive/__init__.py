"""A file of what cannot be rebuilt from anything: written, checked and put back."""
