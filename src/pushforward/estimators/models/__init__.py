"""Models of encoded rows: a mixture, a net of conditional densities, flows, and their blend."""
