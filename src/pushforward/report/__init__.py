"""The report of a trained flow: one page and its numbers, and the pictures and walks that it is made of."""
