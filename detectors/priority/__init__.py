"""Rules of the family `priority`: one rule, one file."""
