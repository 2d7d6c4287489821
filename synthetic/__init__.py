"""Synthetic datasets: invented people, links to their pictures with typical web faults, and a server for them."""
