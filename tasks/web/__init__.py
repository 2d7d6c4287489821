"""Asking other people's servers: within limits, politely, and never a private address."""
