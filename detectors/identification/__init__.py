"""Rules of the family `identification`: one rule, one file."""
