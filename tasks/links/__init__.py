"""Link lines: their sources, the client for servers of link files, and the plan of downloads."""
