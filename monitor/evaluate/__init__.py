"""Evaluate: panes of all partitions to windows, statistics, detectors, rules, alerts and retraining requests."""
