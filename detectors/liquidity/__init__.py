"""Rules of the family `liquidity`: one rule, one file."""
