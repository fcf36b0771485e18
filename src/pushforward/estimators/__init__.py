"""Estimators for tables: a plan of the columns, a density of their rows, and scikit-learn's interface to both."""
