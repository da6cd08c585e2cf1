"""Measuring model versions: metrics, classical filters, reports and model cards."""
