"""What Prometheus is told of accuracy: figures where something was measured, and else nothing."""

import pytest
from pytest_django import DjangoAssertNumQueries

from reconciliation.gauges import gauges
from tests.judge_factories import (
    DiscrepancyFactory,
    IntegrityIssueFactory,
    ReviewFactory,
    RunFigureFactory,
    SampleAuditFactory,
)

pytestmark = [pytest.mark.django_db, pytest.mark.spec("R19.3", "R9.2")]


def figures() -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in gauges()
        for sample in family.samples
    }


def test_what_is_not_known_has_no_sample() -> None:
    found = figures()
    names = {name for name, *_ in found}
    assert "mirror_accuracy_ratio" not in names
    assert "mirror_error_budget_left_ratio" not in names
    assert "mirror_audited_accuracy_ratio" not in names
    assert found["mirror_accuracy_compared", "24h"] == 0
    assert found["mirror_discrepancies_waiting", "failed"] == 0
    assert found["mirror_reviews_open",] == found["mirror_integrity_issues_open",] == 0


def test_figures_are_those_of_the_judge(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    RunFigureFactory.create(compared=1000, matched=996, vouched=0, unknown=7)
    SampleAuditFactory.create(weight=40, weight_matched=40, weight_squares=40)
    DiscrepancyFactory.create(repair_status="failed")
    DiscrepancyFactory.create(repaired=True)
    ReviewFactory.create()
    IntegrityIssueFactory.create()
    with django_assert_num_queries(5):
        found = figures()
    assert found["mirror_accuracy_ratio", "24h"] == 0.996
    assert found["mirror_accuracy_ratio", "7d"] == 0.996
    assert found["mirror_accuracy_compared", "7d"] == 1000
    assert found["mirror_accuracy_unknown", "24h"] == 7
    assert found["mirror_error_budget_left_ratio",] == pytest.approx(0.2)
    low, high = (found["mirror_audited_accuracy_ratio", bound] for bound in ("low", "high"))
    assert low == pytest.approx(0.912, abs=0.02)
    assert high == 1
    assert found["mirror_discrepancies_waiting", "failed"] == 1
    assert found["mirror_discrepancies_waiting", "proposed"] == 0
    assert found["mirror_reviews_open",] == found["mirror_integrity_issues_open",] == 1
