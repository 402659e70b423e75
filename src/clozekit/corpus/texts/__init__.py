"""What is done to the text of documents: sentences, filters, and the search for duplicates."""
