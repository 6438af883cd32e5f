"""The ops page: what a person looks at to see whether the stream is well. Read-only, beside the windows, never in their way."""
