"""Predictors: fitted to one-shot scores, they answer for every architecture of a space."""
