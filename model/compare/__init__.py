"""Model versions compared on the same pairs, and promoted."""
