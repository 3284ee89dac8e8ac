"""Metrics of verification, matching, retrieval, classification and calibration, with intervals.

This package does not need torch.

Example:
    >>> from lowshot.metrics import auc, average_precision
    >>> auc([0.9, 0.2, 0.4], [1, 0, 0])
    1.0
    >>> average_precision([[0.9, 0.2, 0.4]], [[1, 0, 1]])
    array([1.])
"""

from lowshot.metrics.calibration import cllr, min_cllr
from lowshot.metrics.matching import accuracy
from lowshot.metrics.retrieval import average_precision, recall_at_k
from lowshot.metrics.verification import auc, eer, min_dcf, tpr_at_fpr

__all__ = ["accuracy", "auc", "average_precision", "cllr", "eer", "min_cllr", "min_dcf", "recall_at_k", "tpr_at_fpr"]
