"""What is evaluated on: photos of known people."""
