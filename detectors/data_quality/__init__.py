"""Rules of the family `data_quality`: one rule, one file."""
