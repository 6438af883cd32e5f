"""The local stack: a real Kafka broker and a real S3 server on loopback, without Docker and without a system Java."""
