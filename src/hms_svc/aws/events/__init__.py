"""The events of AWS's HTTP doors, read as the core's `Request`, and its `Response` as the answer each door expects."""
