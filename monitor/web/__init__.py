"""Endpoints of the supervisor: /live, /ready and /metrics."""
