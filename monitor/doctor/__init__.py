"""What `streamdrift doctor` looks at: settings, this host, alerts.yaml, the bus and its topics, records, references."""
