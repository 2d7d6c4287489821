"""Statistics in NumPy: ROC curves, bootstrap intervals, logistic regression and calibration."""
