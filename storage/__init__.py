"""All SQL beside `database.py`. This room is imported by module: `from storage import batch_states`."""
