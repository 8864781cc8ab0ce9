"""The judge's tables: what was found wrong, how right the mirror is, and who did what when."""

from reconciliation.models.discrepancy import Discrepancy, Entity, IntegrityIssue, Review
from reconciliation.models.figures import RunFigure, SampleAudit, SampledItem
from reconciliation.models.rollup import RolledFleet, RolledHours, RolledUntil, StaleDay
from reconciliation.models.trail import AuditEntry, AuditError, AuditRecord

__all__ = [
    "AuditEntry",
    "AuditError",
    "AuditRecord",
    "Discrepancy",
    "Entity",
    "IntegrityIssue",
    "Review",
    "RolledFleet",
    "RolledHours",
    "RolledUntil",
    "RunFigure",
    "SampleAudit",
    "SampledItem",
    "StaleDay",
]
