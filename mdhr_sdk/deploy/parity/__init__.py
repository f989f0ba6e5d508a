"""The gate: what was exported must answer as the weights do."""
