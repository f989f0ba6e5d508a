"""What training costs, and what each part of it is worth."""
