"""Who tries to recognize people, and how."""
