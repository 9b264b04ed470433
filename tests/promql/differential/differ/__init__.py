"""Random data and queries, evaluated by Meridian and by Prometheus; see README.md one folder up."""
