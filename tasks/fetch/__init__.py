"""Fetching: each link of the plan becomes an attempt, a row of the ledger."""
