"""What was measured as JSON, Markdown, plots and sheets."""
