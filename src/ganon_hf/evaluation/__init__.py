"""What is measured: coverage, identity, geometry, expression. Import the module you need; nothing is loaded here."""
