"""Dataset and model versions: what they consist of, their names, who reads them, and what takes from them."""
