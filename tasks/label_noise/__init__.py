"""Label noise: which faces do not show the person they are listed under."""
