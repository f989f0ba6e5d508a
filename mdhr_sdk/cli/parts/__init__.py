"""What commands share, and the longer parts of single ones."""
