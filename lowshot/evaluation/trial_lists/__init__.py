"""Trial lists of others: read, joined to a dataset, audited."""
