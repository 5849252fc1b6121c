"""Every contract that somebody outside a process depends on: records, facts, journal, alerts, tables."""
