"""Everything that touches the world: Kafka, files, people."""
