"""Pages to look at: self-contained HTML, with figures and contact sheets."""
