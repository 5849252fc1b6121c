"""The rules: pure functions of the journal. No I/O, no clock, no Kafka."""
