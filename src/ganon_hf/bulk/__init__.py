"""Many photos: worker processes, folders, rows of tables, a Ray job."""
