"""From rows to an alerts.yaml: roles of columns, task, windows and reference, as `streamdrift init` proposes them."""
