"""Plans of the columns of a table: the kind of each column, and its encoding as states and values."""
