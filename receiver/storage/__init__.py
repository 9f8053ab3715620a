"""What we keep: tasks, reports and events in a database with one way to write, and the audio in an object store."""
