"""The lake: Parquet by UTC date and hour, and a DuckDB catalog of views over it."""
