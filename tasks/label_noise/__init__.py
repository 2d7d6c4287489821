"""Label noise: estimate which faces are listed under the wrong person."""
