"""Reports: self-contained HTML pages with charts and contact sheets."""
