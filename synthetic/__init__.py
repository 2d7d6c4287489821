"""A made world: invented people, links to their pictures with the field's faults, and the server that plays it."""
