"""Calibration: the limits and thresholds that keep a budget of false alarms, by what a reference does by chance."""
