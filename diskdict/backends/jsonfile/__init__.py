"""Records in one JSON file that people read and edit."""
