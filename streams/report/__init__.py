"""Reports of a trading day, from the lake alone: every number is a query's result, shown with the query."""
