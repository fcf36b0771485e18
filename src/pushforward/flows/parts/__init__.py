"""Components that several architectures share."""
