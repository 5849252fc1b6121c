"""Rules of the family `fairness`: one rule, one file."""
