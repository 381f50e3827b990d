"""What puts pictures through methods and reads the results: methods, instruments, worker processes."""
