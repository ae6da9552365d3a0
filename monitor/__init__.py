"""Streamdrift: drift monitoring of machine-learning models over Kafka topics."""

__version__ = "0.1.0"
