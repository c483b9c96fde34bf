"""The ports over AWS, and the events of its doors: the only place that speaks to AWS. Clients are made on first use."""
