"""What both stages share: the grid, rows to summaries on the grid, and merging them."""
