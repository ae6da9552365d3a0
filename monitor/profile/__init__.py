"""Profile: raw records of one input partition to sealed panes. It knows no reference, no threshold and no rule."""
