"""Files that are not plain ones of this machine: in object stores, on web servers, compressed."""
