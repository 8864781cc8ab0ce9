import django.contrib.postgres.fields
from django.db import migrations, models


# What is rolled of all accounts together is kept by the database itself: whoever writes what is rolled of an
# account, an older version of the software too, changes both in one transaction. Arrays have places to
# spare: sums that do not exist yet are 0.
SCALARS = (
    "succeeded", "partial", "failed", "cancelled", "timed", "milliseconds",
    "compared", "matched", "vouched", "unknown", "found", "gaps",
)
ARRAYS = {
    "classes": (24, "bigint"),
    "by_entity": (24, "bigint"),
    "by_type": (32, "bigint"),
    "audited": (12, "float8"),
}
NAMES = (*SCALARS, *ARRAYS)
SUMS = [f"coalesce(sum(t.{name}), 0)" for name in SCALARS] + [
    f"ARRAY[{', '.join(f'coalesce(sum(t.{name}[{place}]), 0)' for place in range(1, size + 1))}]::{kind}[]"
    for name, (size, kind) in ARRAYS.items()
]


def add_up(changed):
    """Sums the stretches of `changed` again, from what is rolled of each account."""
    return f"""
INSERT INTO reconciliation_rolledfleet (hours, at, {", ".join(NAMES)})
SELECT k.hours, k.at, {", ".join(SUMS)}
FROM (SELECT DISTINCT hours, at FROM {changed}) AS k
LEFT JOIN reconciliation_rolledhours AS t ON t.hours = k.hours AND t.at = k.at
GROUP BY k.hours, k.at
ON CONFLICT (hours, at) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in NAMES)};
"""


# The lock is that of `reconciliation.rolling`: of two that write at once, the second would not see the first.
KEEP = f"""
CREATE FUNCTION reconciliation_roll_alone() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock({0x526F6C6C});
    RETURN NULL;
END $$;
CREATE FUNCTION reconciliation_roll_fleet() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    {add_up("changed")}
    RETURN NULL;
END $$;
CREATE TRIGGER reconciliation_roll_alone BEFORE INSERT OR UPDATE OR DELETE ON reconciliation_rolledhours
FOR EACH STATEMENT EXECUTE FUNCTION reconciliation_roll_alone();
CREATE TRIGGER reconciliation_rolled_insert AFTER INSERT ON reconciliation_rolledhours
REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION reconciliation_roll_fleet();
CREATE TRIGGER reconciliation_rolled_update AFTER UPDATE ON reconciliation_rolledhours
REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION reconciliation_roll_fleet();
CREATE TRIGGER reconciliation_rolled_delete AFTER DELETE ON reconciliation_rolledhours
REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION reconciliation_roll_fleet();
"""
FORGET = """
DROP TRIGGER reconciliation_rolled_delete ON reconciliation_rolledhours;
DROP TRIGGER reconciliation_rolled_update ON reconciliation_rolledhours;
DROP TRIGGER reconciliation_rolled_insert ON reconciliation_rolledhours;
DROP TRIGGER reconciliation_roll_alone ON reconciliation_rolledhours;
DROP FUNCTION reconciliation_roll_fleet();
DROP FUNCTION reconciliation_roll_alone();
"""


class Migration(migrations.Migration):

    dependencies = [
        ('reconciliation', '0005_acts_of_repository'),
    ]

    operations = [
        migrations.CreateModel(
            name='RolledFleet',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('hours', models.PositiveSmallIntegerField(help_text='How long the stretch is: 1, 6 or 24.')),
                ('at', models.DateTimeField(help_text='Its beginning.')),
                *((name, models.BigIntegerField(default=0)) for name in SCALARS),
                ('classes', django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), blank=True, default=list, size=None)),
                ('by_entity', django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), blank=True, default=list, size=None)),
                ('by_type', django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), blank=True, default=list, size=None)),
                ('audited', django.contrib.postgres.fields.ArrayField(base_field=models.FloatField(), blank=True, default=list, size=None)),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('hours', 'at'), name='rolled_fleet_once')],
            },
        ),
        # Nothing is rolled between the two: the lock of the triggers' making lasts until the end.
        migrations.RunSQL(KEEP, FORGET),
        migrations.RunSQL(add_up("reconciliation_rolledhours"), migrations.RunSQL.noop),
    ]
