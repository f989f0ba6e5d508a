"""Commands that make, check and describe model folders."""
