"""Link lines: the sources they come from, the server of link files, the plan of what to fetch."""
