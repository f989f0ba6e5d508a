"""One person: shape, skin, hair, and how action units move them."""
