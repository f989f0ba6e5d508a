"""Commands that prepare data, train and judge."""
