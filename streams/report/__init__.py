"""Reports of a trading day, from the lake alone: every number is the result of a query that is shown with it."""
