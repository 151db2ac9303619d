"""Margins in, losses and residuals out."""
