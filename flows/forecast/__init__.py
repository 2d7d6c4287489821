"""What a run will cost: links, requests, bytes and hours, before it starts."""
